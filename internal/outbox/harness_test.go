package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/message"
)

// world is a nats-server that can go away, and a machine's disk.
type world struct {
	t      *testing.T
	server *server.Server
	data   string
	port   int
	dir    string // the spool's folder
	dup    time.Duration
	log    *syncbuf.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, data: t.TempDir(), dir: filepath.Join(t.TempDir(), "spool"), dup: 30 * time.Minute, log: &syncbuf.Buffer{}}
	w.server = natstest.Run(t, w.data, -1)
	w.port = w.server.Addr().(*net.TCPAddr).Port
	js := w.jetstream()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) connect() *nats.Conn {
	w.t.Helper()
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", w.port), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	return nc
}

func (w *world) jetstream() jetstream.JetStream {
	w.t.Helper()
	js, err := jetstream.New(w.connect())
	if err != nil {
		w.t.Fatal(err)
	}
	return js
}

func (w *world) down() { natstest.Stop(w.server) }
func (w *world) up()   { w.server = natstest.Run(w.t, w.data, w.port) }

// run is one process with its outbox.
type run struct {
	*Outbox
	*Line
	w    *world
	nc   *nats.Conn
	stop func()
}

// start starts a process whose spool may use max bytes.
func (w *world) start(epoch string, max int64) *run {
	w.t.Helper()
	return w.begin(epoch, Options{Stream: "ZOOM", DuplicateWindow: w.dup, SpoolDir: w.dir, SpoolMax: max, Log: zerolog.New(w.log)})
}

func (w *world) begin(epoch string, opt Options) *run {
	w.t.Helper()
	nc := w.connect()
	p := New(natstest.JetStream(w.t, nc), opt)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	r := &run{Outbox: p, Line: p.Line("sub", epoch, nil), w: w, nc: nc}
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	w.t.Cleanup(r.stop)
	return r
}

// kill ends the process; the disk stays as it was when it was called.
func (r *run) kill() {
	r.w.t.Helper()
	frozen := r.w.freeze()
	r.stop()
	r.w.dir = frozen
}

// freeze copies the disk, and returns the copy's folder. Files that the process removes meanwhile
// are left out: it no longer needed them.
func (w *world) freeze() (frozen string) {
	w.t.Helper()
	frozen = filepath.Join(w.t.TempDir(), "frozen")
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		var data []byte
		name := filepath.Join(frozen, strings.TrimPrefix(path, w.dir))
		switch {
		case err != nil:
		case entry.IsDir():
			err = os.MkdirAll(name, 0o700)
		default:
			if data, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(name, data, 0o600)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return frozen
}

// end waits until everything is stored, and ends the process in an orderly way.
func (r *run) end() {
	r.w.t.Helper()
	r.awaitStored()
	r.leave()
}

// awaitStored waits until the stream has everything that was accepted. It fails the test only if
// nothing moves: how fast NATS accepts messages after an outage depends on the machine.
func (r *run) awaitStored() {
	r.w.t.Helper()
	for stored := false; !stored; {
		before := r.Outbox.Stats().Publisher.Acked
		r.w.until("everything is stored", func() bool {
			left, _, _ := r.unstored()
			stored = left == 0
			return stored || r.Outbox.Stats().Publisher.Acked > before
		})
	}
}

// leave ends the process in an orderly way. What NATS does not accept stays on disk.
func (r *run) leave() {
	r.w.t.Helper()
	ctx, cancel := context.WithTimeout(r.w.t.Context(), 30*time.Second)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		r.w.t.Fatalf("%v\n%s", err, r.w.log)
	}
	r.stop()
}

// publish publishes the messages numbered from (inclusive) to to (exclusive).
func (r *run) publish(from, to int) {
	r.w.t.Helper()
	ctx, cancel := context.WithTimeout(r.w.t.Context(), 60*time.Second)
	defer cancel()
	for n := from; n < to; n++ {
		if err := r.Publish(ctx, numbered(n, r.key.epoch), Times{}); err != nil {
			r.w.t.Fatalf("message %d: %v\n%s", n, err, r.w.log)
		}
	}
}

func numbered(n int, epoch string) *nats.Msg {
	return &nats.Msg{Subject: "zoom.test", Data: []byte(strconv.Itoa(n)), Header: nats.Header{
		nats.MsgIdHdr: {"id-" + strconv.Itoa(n)}, message.HeaderSubscription: {"sub"}, message.HeaderEpoch: {epoch}, "Zoom-Seq": {strconv.Itoa(n)},
	}}
}

// until waits until holds reports true.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not %s\n%s", what, w.log)
		}
	}
}

// safe waits until everything that was accepted is stored or on disk.
func (r *run) safe() {
	r.w.t.Helper()
	ctx, cancel := context.WithTimeout(r.w.t.Context(), 30*time.Second)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		r.w.t.Fatalf("%v\n%s", err, r.w.log)
	}
}

// stored returns the numbers of the messages in the stream.
func (w *world) stored() (numbers []int) {
	w.t.Helper()
	w.read(func(msg jetstream.Msg) {
		n, err := strconv.Atoi(string(msg.Data()))
		if err != nil {
			w.t.Errorf("%s: %q", msg.Subject(), msg.Data())
		}
		numbers = append(numbers, n)
	})
	return numbers
}

// read calls each for every message of the stream.
func (w *world) read(each func(jetstream.Msg)) {
	w.t.Helper()
	stream, err := w.jetstream().Stream(w.t.Context(), "ZOOM")
	if err != nil {
		w.t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(w.t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	for left := int(stream.CachedInfo().State.Msgs); left > 0; {
		batch, err := consumer.Fetch(min(left, 5000), jetstream.FetchMaxWait(20*time.Second))
		if err != nil {
			w.t.Fatal(err)
		}
		before := left
		for msg := range batch.Messages() {
			each(msg)
			left--
		}
		if left == before {
			w.t.Fatalf("%d messages cannot be read: %v", left, batch.Error())
		}
	}
}

// inOrder checks that the stream has the numbers from 0 to count-1, each once, in order.
func (w *world) inOrder(count int) {
	w.t.Helper()
	numbers := w.stored()
	if len(numbers) != count {
		w.t.Errorf("%d of %d messages stored", len(numbers), count)
	}
	for i, n := range numbers {
		if n != i {
			w.t.Fatalf("message %d is stored where %d should be\n%s", n, i, w.log)
		}
	}
}

// used reports whether the spool has files.
func (w *world) used() bool {
	_, err := os.Stat(filepath.Join(w.dir, "jetstream"))
	return err == nil
}

func (r *run) unsafeNow() int {
	_, unsafe, _ := r.unstored()
	return unsafe
}
