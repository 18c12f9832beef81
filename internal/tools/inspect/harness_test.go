package inspect

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/subjects"
)

// world is a nats-server with a stream, and messages like zoomstream's.
type world struct {
	t      testing.TB
	dir    string
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	seq    uint64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	s := natstest.Run(t, dir, -1)
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, server: s, nc: nc, js: js}
	w.create(jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: 30 * time.Minute})
	return w
}

func (w *world) create(cfg jetstream.StreamConfig) {
	w.t.Helper()
	if _, err := w.js.CreateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open() *Stream {
	w.t.Helper()
	s, err := Open(w.t.Context(), natstest.JetStream(w.t, w.nc), "ZOOM", "zoom")
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// event returns the message of an event, with a tracking id unless that is empty.
func (w *world) event(name, tracking string, body []byte) *nats.Msg {
	w.seq++
	m := nats.NewMsg(subjects.Subject("zoom", name))
	m.Data = body
	m.Header = nats.Header{
		nats.MsgIdHdr:            {dedupe.ID(dedupe.Tracking, tracking, m.Subject, body)},
		"x-zm-request-timestamp": {strconv.FormatInt(time.Now().Unix(), 10)},
		"Zoom-Event":             {name},
		"Zoom-Subscription":      {"sub-1"},
		"Zoom-Received-At":       {time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z")},
		"Zoom-Epoch":             {"7"},
		"Zoom-Seq":               {strconv.FormatUint(w.seq, 10)},
	}
	if tracking != "" {
		m.Header["x-zm-trackingid"] = []string{tracking}
	}
	return m
}

// store stores a message, and returns its sequence number.
func (w *world) store(m *nats.Msg) uint64 {
	w.t.Helper()
	ack, err := w.js.PublishMsg(w.t.Context(), m)
	if err != nil || ack.Duplicate {
		w.t.Fatalf("%s is not stored: %v, %v", m.Subject, ack, err)
	}
	return ack.Sequence
}

// fill stores n other events of about a kilobyte each.
func (w *world) fill(n int) {
	w.t.Helper()
	for i := range n {
		body := fmt.Appendf(nil, `{"event":"meeting.participant_joined","event_ts":%d,"payload":{"account_id":"QmT7xVb2RkaLw0Zp9sYd1g","object":{"id":"%d","uuid":"%022d==","topic":"%0800d"}}}`,
			time.Now().UnixMilli(), 80000000000+i, i, i)
		if _, err := w.js.PublishMsgAsync(w.event("meeting.participant_joined", "v=2.0;clid=us02;rid=WEB_"+fmt.Sprintf("%032x", i), body), jetstream.WithStallWait(time.Minute)); err != nil {
			w.t.Fatal(err)
		}
	}
	select {
	case <-w.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		w.t.Fatal("the events are not stored")
	}
}

// connectAs connects as a user with the password p. Denials are ignored.
func connectAs(t *testing.T, s *server.Server, user string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
