package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go/jetstream"
)

// TestKilledWithEventsInMemory kills the leader while the stream refuses events and there is no
// disk: what it received in the last seconds is lost. The marker begins before the first lost
// event, although the leader gave signs of life to the end.
func TestKilledWithEventsInMemory(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	f.settings = append(f.settings, "ZOOMSTREAM_SPOOL_DIR=/dev/null/spool")
	victim := f.add()
	f.add()
	f.flow(200)
	f.flows(50)

	f.refuseEvents(true)
	f.flows(300) // a second and a half
	f.kill(victim)
	f.sockets(2)
	f.refuseEvents(false)
	f.flows(100)
	f.finish()

	e := f.evidence()
	if len(e.missing) < 200 {
		t.Errorf("%d events are lost: the test proves nothing", len(e.missing))
	}
	if len(e.gaps) != 1 {
		t.Fatalf("%d markers", len(e.gaps))
	}
	gap := e.gaps[0].gap
	for _, entry := range e.missing {
		if entry.At.Before(gap.From) || entry.At.After(gap.To) {
			t.Fatalf("the event of %v is lost, and the marker tells of %v to %v", entry.At, gap.From, gap.To)
		}
	}
	for _, s := range e.stored { // Zoom's times are in whole seconds
		if s.gap == nil && s.epoch != gap.Epoch && s.at.After(gap.From.Add(time.Second+slack)) {
			t.Fatalf("the marker begins at %v, and an event was stored at %v", gap.From, s.at)
		}
	}
}

// standsStill waits until a process has stopped, where the system shows that: kill does not wait
// for it.
func (p *program) standsStill() {
	p.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil || strings.Contains(string(stat), ") T ") {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it goes on: %s", stat)
		}
	}
}

// TestStandsStillWhileZoomCloses freezes the only replica while Zoom closes the connection. It
// reads the close seconds later, but the marker begins when Zoom closed.
func TestStandsStillWhileZoomCloses(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	m := f.add()
	f.flow(50)
	f.flows(20)
	m.signal(syscall.SIGSTOP)
	m.standsStill()
	if _, err := f.sim.CloseSockets(testSubscription, websocket.StatusNormalClosure, "bye"); err != nil {
		t.Fatal(err)
	}
	closed := time.Now()
	f.nobody(150) // three seconds
	m.signal(syscall.SIGCONT)
	f.sockets(2)
	f.flows(50)
	f.finish()

	e := f.evidence()
	if len(e.gaps) != 1 {
		t.Fatalf("%d markers", len(e.gaps))
	}
	gap := e.gaps[0].gap
	if gap.From.After(closed) || gap.From.Before(closed.Add(-3*time.Second)) {
		t.Errorf("closed at %v, and the marker begins at %v", closed, gap.From)
	}
	for _, entry := range append(e.nobody, e.missing...) {
		if entry.At.Before(gap.From) || entry.At.After(gap.To.Add(slack)) {
			t.Errorf("the event of %v is lost, and the marker tells of %v to %v", entry.At, gap.From, gap.To)
		}
	}
}

// refuseEvents has the stream refuse all events, or accept them again.
func (f *fleet) refuseEvents(all bool) {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), "ZOOM")
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardOld, -1
	if all {
		cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, 1
	}
	if _, err := f.js.UpdateStream(f.t.Context(), cfg); err != nil {
		f.t.Fatal(err)
	}
}
