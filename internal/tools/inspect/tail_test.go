package inspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/message"
)

// tailed collects what a call of Tail hands over.
type tailed struct {
	t    *testing.T
	stop context.CancelFunc
	got  chan uint64
	end  chan error

	mu      sync.Mutex
	notices []string
}

func startTail(t *testing.T, s *Stream, q TailQuery) *tailed {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &tailed{t: t, stop: stop, got: make(chan uint64, 10_000), end: make(chan error, 1)}
	var running sync.WaitGroup
	running.Go(func() {
		_, err := s.Tail(ctx, q, func(m *Message) error { w.got <- m.Sequence; return nil }, func(text string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.notices = append(w.notices, text)
		})
		w.end <- err
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return w
}

// gets waits for the next message, and checks its number.
func (w *tailed) gets(seq uint64) {
	w.t.Helper()
	select {
	case got := <-w.got:
		if got != seq {
			w.t.Fatalf("it gets #%d, not #%d", got, seq)
		}
	case err := <-w.end:
		w.t.Fatalf("it ends: %v", err)
	case <-time.After(30 * time.Second):
		w.t.Fatalf("it does not get #%d: %q", seq, w.said())
	}
}

func (w *tailed) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.notices)
}

func (w *tailed) says(text string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !slices.Contains(w.said(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not say %q: %q", text, w.said())
		}
	}
}

func (w *world) restart() {
	port := w.server.Addr().(*net.TCPAddr).Port
	natstest.Stop(w.server)
	w.server = natstest.Run(w.t, w.dir, port)
	for deadline := time.Now().Add(30 * time.Second); !w.nc.IsConnected(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the client does not come back")
		}
	}
	for { // JetStream may take a moment
		if _, err := w.js.Stream(w.t.Context(), "ZOOM"); err == nil {
			return
		}
	}
}

func started(n int) []byte {
	return fmt.Appendf(nil, `{"event":"meeting.started","payload":{"account_id":"acc","object":{"id":"%d"}}}`, n)
}

// TestTail: without Follow, Tail hands over what is there, and ends.
func TestTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := func(q TailQuery) (got []uint64, looked uint64) {
		t.Helper()
		looked, err := w.open().Tail(t.Context(), q, func(m *Message) error { got = append(got, m.Sequence); return nil }, func(text string) { t.Error(text) })
		if err != nil {
			t.Fatal(err)
		}
		return got, looked
	}
	if got, looked := all(TailQuery{}); len(got) > 0 || looked > 0 {
		t.Errorf("of an empty stream there is %v", got)
	}
	for i := range 4 {
		w.store(w.event("meeting.started", "", started(i)))
	}
	later := time.Now()
	w.store(w.event("recording.completed", "", started(5)))
	w.store(message.Gap{ID: "gap:1", To: later}.Msg("zoom"))
	w.store(w.event("recording.", "", started(7)))
	for i, c := range []struct {
		q      TailQuery
		want   []uint64
		looked uint64
	}{
		{TailQuery{}, []uint64{1, 2, 3, 4, 5, 6, 7}, 7},
		{TailQuery{Since: later}, []uint64{5, 6, 7}, 3},
		{TailQuery{Since: time.Now().Add(time.Hour)}, nil, 0},
		{TailQuery{Events: []string{"recording.*"}}, []uint64{5, 6, 7}, 3},
		{TailQuery{Events: []string{"recording.*", "meeting.*"}, Kinds: []message.Kind{message.KindEvent}}, []uint64{1, 2, 3, 4, 5, 7}, 6},
		{TailQuery{Events: []string{"*.completed"}, Kinds: []message.Kind{message.KindEvent}}, []uint64{5}, 7},
		{TailQuery{Object: "2", Kinds: []message.Kind{message.KindEvent}}, []uint64{3}, 7},
		{TailQuery{Kinds: []message.Kind{message.KindGap}}, []uint64{6}, 1},
	} {
		if got, looked := all(c.q); !slices.Equal(got, c.want) || looked != c.looked {
			t.Errorf("%d: it hands over %v of %d, not %v of %d", i, got, looked, c.want, c.looked)
		}
	}
	full := errors.New("full")
	if looked, err := w.open().Tail(t.Context(), TailQuery{Follow: true, Since: time.Unix(0, 0)}, func(*Message) error { return full }, func(string) {}); !errors.Is(err, full) || looked != 1 {
		t.Errorf("after %d messages: %v", looked, err)
	}
}

// TestTailFollow: Tail continues after a restart of the server, and in a stream that was deleted
// and created anew.
func TestTailFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store(w.event("meeting.started", "", started(1)))
	f := startTail(t, w.open(), TailQuery{Follow: true})
	f.says("following stream ZOOM from message #2")
	w.store(w.event("meeting.started", "", started(2)))
	f.gets(2)

	w.restart()
	w.store(w.event("meeting.started", "", started(3)))
	f.gets(3)
	f.says("the connection to NATS was interrupted; waiting for it")
	f.says("continuing from message #3")

	if err := w.js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	w.create(jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	for i := range 5 {
		w.store(w.event("meeting.started", "", started(i)))
	}
	for seq := uint64(1); seq <= 5; seq++ {
		f.gets(seq)
	}
	f.says("stream ZOOM was deleted and recreated; reading it from its beginning")
	f.stop()
	if err := <-f.end; err != nil {
		t.Error(err)
	}
}

// TestTailRemoved: Tail says which messages it can no longer read.
func TestTailRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.store(w.event("meeting.started", "", started(i)))
	}
	s := w.open()
	info, err := s.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	said := ""
	read := &tail{stream: s, filter: newTailFilter(TailQuery{}, "zoom"), notice: func(text string) { said = text }, created: info.Created, next: 2}
	r, err := read.openBehind(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close(t.Context())
	if m, err := r.next(t.Context()); err != nil || m.Sequence != 4 {
		t.Errorf("it reads %+v, %v", m, err)
	}
	if said != "stream ZOOM has removed the messages #2 to #3 meanwhile; continuing after them" {
		t.Error(said)
	}
}

// confReader returns the user reader of nats.conf.
func confReader(t *testing.T) *server.User {
	t.Helper()
	options := natstest.UsersConf(t, "../../../nats.conf", "p")
	for _, user := range options.Users {
		if user.Username == "reader" {
			return user
		}
	}
	t.Fatal("nats.conf has no user reader")
	return nil
}

// TestTailRights: the rights of nats.conf's reader are enough.
func TestTailRights(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{{Username: "all", Password: "p"}, confReader(t)}})
	owner, err := jetstream.New(connectAs(t, s, "all"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	publish := func() {
		t.Helper()
		if _, err := owner.Publish(t.Context(), "zoom.meeting.started", started(1)); err != nil {
			t.Fatal(err)
		}
	}
	publish()

	nc := connectAs(t, s, "reader")
	stream, err := Open(t.Context(), natstest.JetStream(t, nc), "ZOOM", "zoom")
	if err != nil {
		t.Fatal(err)
	}
	f := startTail(t, stream, TailQuery{Follow: true, Since: time.Unix(0, 0), Events: []string{"meeting.*"}})
	f.gets(1)
	publish()
	f.gets(2)
	f.stop()
	if err := <-f.end; err != nil || nc.LastError() != nil {
		t.Errorf("the reader: %v, %v", err, nc.LastError())
	}

	// If a request is not answered because a right is missing, the error names the right.
	if err := errors.Join(nc.Publish("$JS.API.CONSUMER.MSG.NEXT.OTHER.x", nil), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := refused(nc, errStalled); !strings.Contains(err.Error(), "MSG.NEXT.OTHER.x") || !strings.Contains(err.Error(), "nats.conf has a user that may read") {
		t.Error(err)
	}
}
