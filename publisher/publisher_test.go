package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func createStream(t *testing.T, nc *nats.Conn, cfg jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name == "" {
		cfg.Name = "ZOOM"
	}
	if cfg.Subjects == nil {
		cfg.Subjects = []string{"zoom.>"}
	}
	stream, err := js.CreateStream(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// run starts a publisher, which stops at the end of the test.
func run(t *testing.T, nc *nats.Conn, opt Options) *Publisher {
	t.Helper()
	p := New(natstest.JetStream(t, nc), opt)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func message(i int) *nats.Msg {
	return &nats.Msg{
		Subject: "zoom.test",
		Data:    fmt.Appendf(nil, "%d", i),
		Header:  nats.Header{"Nats-Msg-Id": {fmt.Sprint(i)}},
	}
}

func publish(t *testing.T, p *Publisher, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := p.Publish(t.Context(), message(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, p *Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("Flush: %v; %+v", err, p.Stats())
	}
}

// wantInOrder reads the stream back: message i must have the number i.
func wantInOrder(t *testing.T, nc *nats.Conn, count int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if int(info.State.Msgs) != count {
		t.Fatalf("%d messages stored, want %d", info.State.Msgs, count)
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(count, jetstream.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for msg := range batch.Messages() {
		if got, want := string(msg.Data()), fmt.Sprint(i); got != want {
			t.Fatalf("message %d holds %s", i, got)
		}
		i++
	}
	if i != count {
		t.Fatalf("read %d messages, want %d: %v", i, count, batch.Error())
	}
}

func TestEveryMessageIsAcknowledgedInOrder(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{})
	var last uint64
	var disorder int
	p := run(t, nc, Options{Stream: "ZOOM", Window: 64, Acked: func(a Ack) {
		if a.Sequence != last+1 || a.Duplicate || a.Resent || a.Accepted.After(a.Sent) {
			disorder++
		}
		last = a.Sequence
	}})
	publish(t, p, 0, 5000)
	flush(t, p)
	wantInOrder(t, nc, 5000)
	if st := p.Stats(); st.Acked != 5000 || st.Pending != 0 || st.Bytes != 0 || st.Err != nil || st.Resent != 0 || st.Duplicates != 0 {
		t.Errorf("stats %+v", st)
	}
	if disorder != 0 || last != 5000 {
		t.Errorf("%d acks out of order, last sequence %d", disorder, last)
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{})
	p := run(t, nc, Options{})
	for range 3 {
		publish(t, p, 0, 200)
	}
	flush(t, p)
	wantInOrder(t, nc, 200)
	if st := p.Stats(); st.Acked != 600 || st.Duplicates != 400 {
		t.Errorf("stats %+v", st)
	}
}

// TestServerRestarts stops and starts the server again and again under load: nothing is lost,
// doubled or out of order.
func TestServerRestarts(t *testing.T) {
	dir := t.TempDir()
	s := natstest.Run(t, dir, -1)
	port := s.Addr().(*net.TCPAddr).Port
	nc := connect(t, s.ClientURL())
	createStream(t, nc, jetstream.StreamConfig{})
	var paused, resumed atomic.Int32
	p := run(t, nc, Options{AckWait: time.Second, Changed: func(err error) {
		if err != nil {
			paused.Add(1)
		} else {
			resumed.Add(1)
		}
	}})
	const rounds, batch = 5, 3000
	for round := range rounds {
		var wg sync.WaitGroup
		wg.Go(func() { publish(t, p, round*batch, (round+1)*batch) })
		for p.Stats().Acked < uint64(round*batch+rand.IntN(batch/2)) {
			time.Sleep(time.Millisecond)
		}
		natstest.Stop(s)
		s = natstest.Run(t, dir, port)
		wg.Wait()
	}
	flush(t, p)
	wantInOrder(t, connect(t, s.ClientURL()), rounds*batch) // the publisher's own connection may not be back yet
	st := p.Stats()
	t.Logf("paused %d times, %+v", paused.Load(), st)
	if paused.Load() == 0 || paused.Load() != resumed.Load() || st.Err != nil {
		t.Errorf("paused %d, resumed %d times: %+v", paused.Load(), resumed.Load(), st)
	}
}

// TestLostProbe loses the connection while the one message that probes NATS is in flight: it is
// sent again on the next connection, not only after AckWait.
func TestLostProbe(t *testing.T) {
	s := natstest.Run(t, t.TempDir(), -1)
	link := newLink(t, s.Addr().String())
	direct := connect(t, s.ClientURL())
	sendings := make(chan *nats.Msg, 100)
	silent, err := direct.ChanSubscribe("zoom.>", sendings) // receives messages, and acknowledges none
	if err == nil {
		err = direct.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, connect(t, "nats://"+link.addr()), Options{AckWait: time.Hour})
	sent := func(want int) {
		t.Helper()
		select {
		case msg := <-sendings:
			if string(msg.Data) != fmt.Sprint(want) {
				t.Errorf("message %s is sent, not %d", msg.Data, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("message %d is not sent: %+v", want, p.Stats())
		}
	}
	publish(t, p, 0, 10)
	for n := range 10 {
		sent(n)
	}
	for range 3 {
		link.cut()
		sent(0)
	}
	if err := silent.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	createStream(t, direct, jetstream.StreamConfig{})
	link.cut()
	flush(t, p)
	wantInOrder(t, direct, 10)
}

// TestStreamMissing: the publisher waits for a missing stream, and the messages are then stored in
// order.
func TestStreamMissing(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	changed := make(chan error, 10)
	p := run(t, nc, Options{Changed: func(err error) { changed <- err }})
	publish(t, p, 0, 100)
	if err := <-changed; !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Fatalf("paused by %v", err)
	}
	if st := p.Stats(); st.Err == nil || st.Pending != 100 {
		t.Errorf("stats %+v", st)
	}
	for p.Stats().Resent < 3 {
		time.Sleep(time.Millisecond)
	}
	createStream(t, nc, jetstream.StreamConfig{})
	flush(t, p)
	wantInOrder(t, nc, 100)
	if err := <-changed; err != nil {
		t.Errorf("resumed with %v", err)
	}
	if st := p.Stats(); st.Resent > 120 {
		t.Errorf("%d sendings against a missing stream: it is probed with more than the oldest message", st.Resent)
	}
}

func TestWrongStreamPauses(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{Name: "OTHER"})
	changed := make(chan error, 10)
	p := run(t, nc, Options{Stream: "ZOOM", Changed: func(err error) { changed <- err }})
	publish(t, p, 0, 1)
	if err := <-changed; err == nil {
		t.Error("a message stored in another stream passes for stored")
	}
}

// TestLostAcks loses the acknowledgements of stored messages: they are sent again, and stored once.
func TestLostAcks(t *testing.T) {
	s := natstest.Run(t, t.TempDir(), -1)
	link := newLink(t, s.Addr().String())
	nc := connect(t, "nats://"+link.addr())
	createStream(t, nc, jetstream.StreamConfig{})
	p := run(t, nc, Options{AckWait: 300 * time.Millisecond})
	publish(t, p, 0, 100)
	flush(t, p)
	link.deaf.Store(true) // drops everything from the server
	publish(t, p, 100, 200)
	direct := connect(t, s.ClientURL())
	for stored(t, direct) < 200 {
		time.Sleep(time.Millisecond)
	}
	for p.Stats().Err == nil {
		time.Sleep(time.Millisecond)
	}
	link.cut()
	link.deaf.Store(false)
	flush(t, p)
	wantInOrder(t, direct, 200)
	if st := p.Stats(); st.Resent == 0 || st.Duplicates != 0 || st.Acked != 200 {
		t.Errorf("stats %+v; own repetitions must not count as duplicates", st)
	}
}

// TestDroppedInSilence has the server receive some messages and store none, like a cluster that is
// being reconfigured. Later messages may overtake them by at most a window.
func TestDroppedInSilence(t *testing.T) {
	const window, dropped, after = 16, 10, 300
	s := natstest.Run(t, t.TempDir(), -1)
	direct := connect(t, s.ClientURL())
	createStream(t, direct, jetstream.StreamConfig{})
	elsewhere, err := direct.SubscribeSync("elsewhere") // otherwise there would be no responder
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, connect(t, s.ClientURL()), Options{Stream: "ZOOM", Window: window, AckWait: time.Hour})
	publish(t, p, 0, 100)
	flush(t, p)
	if err := s.GlobalAccount().AddMapping("zoom.test", "elsewhere"); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 100, 100+dropped)
	for range dropped {
		if _, err := elsewhere.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.GlobalAccount().RemoveMapping("zoom.test")
	for i := 100 + dropped; i < 100+dropped+after; i++ {
		publish(t, p, i, i+1)
		for deadline := time.Now().Add(10 * time.Second); p.Stats().Acked < uint64(i+1-dropped); time.Sleep(50 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatalf("message %d is not stored: %+v", i, p.Stats())
			}
		}
	}
	flush(t, p)
	at := 0
	for i, n := range order(t, direct) {
		if n == 100 {
			at = i
		}
	}
	if behind := at - 100; behind > window {
		t.Errorf("the first message that was dropped is stored %d places behind its own, more than a window of %d", behind, window)
	}
}

// order returns the numbers in the stream.
func order(t *testing.T, nc *nats.Conn) (numbers []int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence <= stored(t, nc); sequence++ {
		msg, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(msg.Data))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// TestInDoubtBeyondTheWindow holds the acknowledgements back until the stream has forgotten the
// ids: what is stored is looked up, and not sent again.
func TestInDoubtBeyondTheWindow(t *testing.T) {
	const window = time.Second
	s := natstest.Run(t, t.TempDir(), -1)
	link := newLink(t, s.Addr().String())
	nc := connect(t, "nats://"+link.addr())
	createStream(t, nc, jetstream.StreamConfig{Duplicates: window, AllowDirect: true})
	p := run(t, nc, Options{Stream: "ZOOM", DuplicateWindow: window, AckWait: 200 * time.Millisecond})
	publish(t, p, 0, 100)
	flush(t, p)
	link.deaf.Store(true) // drops everything from the server
	publish(t, p, 100, 150)
	direct := connect(t, s.ClientURL())
	for stored(t, direct) < 150 {
		time.Sleep(time.Millisecond)
	}
	link.cut()
	publish(t, p, 150, 200) // not sent, or sent to nobody
	time.Sleep(2 * window)
	link.deaf.Store(false)
	link.cut()
	flush(t, p)
	wantInOrder(t, direct, 200)
	if st := p.Stats(); st.Acked != 200 || st.Bytes != 0 || st.Err != nil {
		t.Errorf("stats %+v", st)
	}
}

// TestLookUpPassesOverDeleted: deleted messages hide none after them, whether they are at the
// beginning, in between, in a run longer than one request, or at the end.
func TestLookUpPassesOverDeleted(t *testing.T) {
	t.Parallel()
	s := natstest.Run(t, t.TempDir(), -1)
	nc := connect(t, s.ClientURL())
	stream := createStream(t, nc, jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	p := run(t, nc, Options{Stream: "ZOOM"})
	const count = 5 * lookUpBatch
	publish(t, p, 0, count)
	flush(t, p)
	deleted := func(n int) bool {
		return n < 3 || n == 10 || n == lookUpBatch+3 || n > 2*lookUpBatch && n < 4*lookUpBatch || n >= count-2
	}
	for n := range count {
		if deleted(n) {
			if err := stream.DeleteMsg(t.Context(), uint64(n+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, from := range []int{0, 5, 10, 2*lookUpBatch + 5, count - 1, count} {
		reader := newSender(p, nc.NewInbox())
		if err := reader.readIDs(t.Context(), uint64(from+1)); err != nil {
			t.Fatal(err)
		}
		for n := from; n < count; n++ {
			sequence, ok := reader.seen.ids[idOf(message(n))]
			if ok == deleted(n) || ok && sequence != uint64(n+1) {
				t.Errorf("from %d: message %d is found: %v, at %d", from, n, ok, sequence)
			}
		}
		if reader.seen.through != count {
			t.Errorf("from %d: read through %d", from, reader.seen.through)
		}
	}
}

func stored(t *testing.T, nc *nats.Conn) uint64 {
	t.Helper()
	js, _ := jetstream.New(nc)
	stream, err := js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func TestRefusedIsReplacedInItsPlace(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{MaxMsgSize: 2000})
	changes := 0
	p := run(t, nc, Options{
		Refused: func(msg *nats.Msg, err error) *nats.Msg {
			return &nats.Msg{Subject: "zoom.refused", Data: []byte("3"), Header: nats.Header{"Nats-Msg-Id": {"3"}}}
		},
		Changed: func(error) { changes++ },
	})
	publish(t, p, 0, 3)
	large := message(3)
	large.Data = make([]byte, 3000)
	if err := p.Publish(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 4, 100)
	flush(t, p)
	if st := p.Stats(); st.Refused != 1 || st.Acked != 100 || st.Bytes != 0 || changes != 0 {
		t.Errorf("stats %+v, %d changes", st, changes)
	}
	if got := stored(t, nc); got != 100 {
		t.Errorf("%d messages stored, want 100", got)
	}
}

func TestRefusedWithoutReplacementIsNotDropped(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	stream := createStream(t, nc, jetstream.StreamConfig{MaxMsgSize: 200})
	p := run(t, nc, Options{})
	large := message(0)
	large.Header.Set("Padding", string(make([]byte, 300)))
	if err := p.Publish(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 1, 10)
	for p.Stats().Err == nil {
		time.Sleep(time.Millisecond)
	}
	js, _ := jetstream.New(nc)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = -1
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil { // as an operator does
		t.Fatal(err)
	}
	flush(t, p)
	if got := stored(t, nc); got != 10 {
		t.Errorf("%d messages stored, want 10", got)
	}
}

func TestBackPressure(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	p := run(t, nc, Options{Window: 8, MaxPending: 16}) // without a stream nothing is acknowledged
	publish(t, p, 0, 16)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, message(16)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the 17th of 16 was accepted: %v", err)
	}
	if st := p.Stats(); st.Pending != 16 {
		t.Errorf("stats %+v", st)
	}
	var wg sync.WaitGroup
	wg.Go(func() { publish(t, p, 16, 100) })
	createStream(t, nc, jetstream.StreamConfig{})
	wg.Wait()
	flush(t, p)
	wantInOrder(t, nc, 100)
}

func TestBytesBound(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	p := run(t, nc, Options{MaxPendingBytes: 1000})
	big := message(0)
	big.Data = make([]byte, 5000)
	if err := p.Publish(t.Context(), big); err != nil {
		t.Fatalf("a message over the bound is not accepted when nothing is pending: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, message(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accepted beyond the bound: %v", err)
	}
}

func TestClosed(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	p := New(natstest.JetStream(t, nc), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Publish(t.Context(), message(0)); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), message(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after Run: %v", err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush after Run: %v", err)
	}
}

// link is a TCP proxy that can be cut, and that can drop what the server sends.
type link struct {
	net.Listener
	deaf  atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Listener: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, client, server)
			l.mu.Unlock()
			wg.Go(func() { io.Copy(server, client); server.Close() })                //nolint:errcheck
			wg.Go(func() { io.Copy(deafWriter{client, l}, server); client.Close() }) //nolint:errcheck
		}
	})
	t.Cleanup(func() { ln.Close(); l.cut(); wg.Wait() })
	return l
}

func (l *link) addr() string { return l.Addr().String() }

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

type deafWriter struct {
	net.Conn
	link *link
}

func (w deafWriter) Write(p []byte) (int, error) {
	if w.link.deaf.Load() {
		return len(p), nil
	}
	return w.Conn.Write(p)
}
