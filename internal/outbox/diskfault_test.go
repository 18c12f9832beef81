//go:build !race

// Excluded under the race detector: it has the other tests, and these fill dozens of bubbles.
package outbox_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
)

// This file proves that whatever one disk operation does, no message is lost unreported and none is
// stored out of order. It uses only the outbox's public methods.

var allFaults = flag.Bool("all-faults", false, "have TestDiskFault try each fault at each call, not at some")

// TestMain starts the nats-server's clock for access times outside any bubble.
func TestMain(m *testing.M) {
	ats.Register()
	code := m.Run()
	ats.Unregister()
	os.Exit(code)
}

// TestDiskFault has each disk operation fail or hang at each of its calls, while NATS is there, is
// silent for over a minute, is away and comes back, and across a restart of the process.
func TestDiskFault(t *testing.T) {
	calls := story(t, &diskFault{})
	t.Logf("calls without a fault: %v", calls)
	for _, operation := range []string{"open", "append", "read", "newest", "remove", "close", "discard", "probe"} {
		count := calls[operation]
		if operation == "probe" { // it runs only after another operation has failed
			story(t, &diskFault{operation: "append", call: 1, also: "probe", kind: outage})
			continue
		}
		if count == 0 {
			t.Errorf("the disk is never asked to %s: the test proves nothing of that", operation)
		}
		for i, call := range someCalls(count) {
			for j, kind := range kinds {
				if *allFaults || (i+j)%5 == 0 {
					story(t, &diskFault{operation: operation, call: call, kind: kind})
				}
			}
		}
	}
}

// someCalls returns the first calls, one in the middle and the last.
func someCalls(count int) (picked []int) {
	for call := 1; call <= count; call++ {
		if *allFaults || call <= 2 || call == count/2 || call == count {
			picked = append(picked, call)
		}
	}
	return picked
}

// kind is what happens to an operation.
type kind string

const (
	fails    kind = "fails"                 // it was not done
	unheard  kind = "is done, and fails"    // as if the answer was lost
	timesOut kind = "hangs, and fails"      // as with the bound on an operation's time
	hangs    kind = "hangs, and is done"    // the disk is slow for once
	outage   kind = "fails with all others" // for outageTime
)

var kinds = []kind{fails, unheard, timesOut, hangs, outage}

const (
	hangTime   = 20 * time.Second
	outageTime = 10 * time.Second
)

var errDisk = errors.New("input/output error (made by the test)")

// diskFault is one fault of the disk, at one call of one operation.
type diskFault struct {
	operation string
	call      int // number of the call, from 1
	kind      kind
	also      string // an operation that fails once after an outage

	mu    sync.Mutex
	calls map[string]int
	until time.Time // end of an outage
}

func (f *diskFault) around(operation string, do func() error) error {
	switch f.strike(operation) {
	case fails, outage:
		return errDisk
	case unheard:
		return errors.Join(do(), errDisk)
	case timesOut:
		time.Sleep(hangTime)
		return context.DeadlineExceeded
	case hangs:
		time.Sleep(hangTime)
	}
	return do()
}

// strike counts a call, and returns what happens to it; empty: nothing.
func (f *diskFault) strike(operation string) kind {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[operation]++
	switch {
	case operation == f.operation && f.calls[operation] == f.call:
		if f.kind == outage {
			f.until = time.Now().Add(outageTime)
		}
		return f.kind
	case time.Now().Before(f.until):
		return outage
	case operation == f.also && !f.until.IsZero():
		f.also = ""
		return fails
	}
	return ""
}

// process is one run of an outbox.
type process struct {
	*outbox.Outbox
	line *outbox.Line
	end  func()
}

// scene is a nats-server, the link to it, and the disk.
type scene struct {
	t     *testing.T
	fault *diskFault
	link  *pipenet.Link
	nc    *nats.Conn
	dir   string
	log   syncLog
	next  int
}

// syncLog is a log that several goroutines may write.
type syncLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *syncLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// story is one bubble: it publishes messages through everything that may happen to NATS, and judges
// the stream. It returns how often each operation was called.
func story(t *testing.T, fault *diskFault) (calls map[string]int) {
	t.Helper()
	dir := t.TempDir()
	fault.calls = make(map[string]int)
	runtime.GC() // nats.go's pool must not keep timers of the last bubble
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: filepath.Join(dir, "nats")})
		w := &scene{t: t, fault: fault, dir: filepath.Join(dir, "spool")}
		w.link = pipenet.NewLink(func(context.Context) (net.Conn, error) { return s.InProcessConn() })
		defer w.link.Close()
		var err error
		w.nc, err = nats.Connect("", nats.InProcessServer(over{w.link}), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
			nats.ReconnectWait(100*time.Millisecond), nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		defer w.nc.Close()
		own, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		js, err := jetstream.New(own)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Storage: jetstream.MemoryStorage, Duplicates: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		lost := w.tell()
		w.judge(stream, lost)
		if t.Failed() {
			t.Logf("%s, call %d, %s:\n%s", fault.operation, fault.call, fault.kind, w.log.String())
		}
	})
	return maps.Clone(fault.calls)
}

// over lets nats.go dial over a link.
type over struct{ *pipenet.Link }

func (o over) InProcessConn() (net.Conn, error) { return o.DialNow(context.Background()) }

// tell plays the story. It returns how many messages the first process reported as lost.
func (w *scene) tell() (lost int) {
	p := w.start("1")
	w.publish(p, 50, 0) // NATS is there

	w.link.Cut() // NATS is away
	w.publish(p, 600, time.Millisecond)
	time.Sleep(2 * time.Second)
	w.link.Heal()
	w.publish(p, 50, 0) // NATS is back
	time.Sleep(time.Second)

	w.link.BlackHole() // silent for so long that the spool's server forgets its consumer
	w.publish(p, 100, 800*time.Millisecond)
	w.link.Heal()
	w.publish(p, 50, 0)
	w.link.Cut() // away before everything is published
	w.publish(p, 50, time.Millisecond)
	w.link.Heal()
	time.Sleep(40 * time.Second) // by now, what hung has ended and an empty spool is closed

	w.link.Cut()
	w.publish(p, 300, time.Millisecond)
	lost = w.finish(p) // the next run continues with what is on disk
	w.link.Heal()
	p = w.start("2")
	w.publish(p, 300, time.Millisecond)
	time.Sleep(40 * time.Second)
	if n := w.finish(p); n > 0 {
		w.t.Errorf("%d messages are lost although NATS was there to the end", n)
	}
	return lost
}

func (w *scene) start(epoch string) *process {
	p := outbox.New(natstest.JetStream(w.t, w.nc), outbox.Options{Stream: "ZOOM", DuplicateWindow: time.Hour, SpoolDir: w.dir, SpoolMax: 64 << 20,
		AroundDisk: w.fault.around, Log: zerolog.New(&w.log)})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	return &process{p, p.Line("sub", epoch, nil), func() { cancel(); running.Wait() }}
}

// finish ends a process in an orderly way, and returns how many messages it reports as lost.
func (w *scene) finish(p *process) (lost int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := p.Drain(ctx)
	p.end()
	if err == nil {
		return 0
	}
	lost, parse := strconv.Atoi(strings.Fields(err.Error())[0])
	if parse != nil {
		w.t.Errorf("Drain does not say how many messages are lost: %v", err)
	}
	return lost
}

// publish publishes count messages, with a pause after each.
func (w *scene) publish(p *process, count int, pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for range count {
		n := strconv.Itoa(w.next)
		msg := &nats.Msg{Subject: "zoom.test", Data: []byte(n), Header: nats.Header{
			nats.MsgIdHdr: {"id-" + n}, "Zoom-Subscription": {"sub"}, "Zoom-Epoch": {"1"}, "Filler": {strings.Repeat("x", 200)}}}
		if err := p.line.Publish(ctx, msg, outbox.Times{}); err != nil {
			w.t.Errorf("message %s is not accepted: %v", n, err)
			return
		}
		w.next++
		time.Sleep(pause)
	}
}

// judge checks that the stream has every message that was not reported as lost, once, and in the
// order of its process.
func (w *scene) judge(stream jetstream.Stream, lost int) {
	info, err := stream.Info(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	var numbers []int
	for sequence := uint64(1); sequence <= info.State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(context.Background(), sequence)
		if err != nil {
			w.t.Fatal(err)
		}
		n, err := strconv.Atoi(string(msg.Data))
		if err != nil {
			w.t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	first := w.next - 300 // the first message of the second process; the first one's may come later if its disk cannot be read in time
	for _, of := range []func(int) bool{func(n int) bool { return n < first }, func(n int) bool { return n >= first }} {
		last := -1
		for _, n := range numbers {
			if of(n) && n <= last {
				w.t.Errorf("message %d is stored behind %d", n, last)
				return
			}
			if of(n) {
				last = n
			}
		}
	}
	if missing := w.next - len(slices.Compact(slices.Sorted(slices.Values(numbers)))); missing > lost {
		w.t.Errorf("%d of %d messages are missing, and %d were reported as lost", missing, w.next, lost)
	}
	if w.fault.operation == "" && (!slices.IsSorted(numbers) || lost > 0 || strings.Contains(w.log.String(), "spool.failed")) {
		w.t.Errorf("although nothing has failed: %d reported as lost, in order: %v\n%s", lost, slices.IsSorted(numbers), w.log.String())
	}
}
