package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// handoverTime is how long a replica that stops waits for a successor to connect.
const handoverTime = 2500 * time.Millisecond

// waited checks, by the log of a replica that has ended, how long it kept its connection after it
// had released the lease: less than handoverTime, or at least that.
func (m *member) waited(want time.Duration) {
	m.t.Helper()
	at := make(map[string]time.Time)
	for line := range strings.Lines(m.stderr.String()) {
		var entry struct {
			Time time.Time `json:"time"`
			Code string    `json:"code"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil {
			at[entry.Code] = entry.Time
		}
	}
	if took := at["zoom.closed"].Sub(at["lease.released"]); at["zoom.closed"].IsZero() || at["lease.released"].IsZero() || (took >= handoverTime) != (want >= handoverTime) {
		m.t.Errorf("%s kept its connection for %v after it had released the lease, want %v:\n%s", m.name, took, want, &m.stderr)
	}
}

// TestStopAlone stops the only replica and starts another one.
func TestStopAlone(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	m := f.add()
	f.flow(400)
	f.flows(100)
	f.stop(m)
	m.waited(0)
	f.nobody(50)
	f.add()
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.told(message.GapStart, 1)
	e.nothingInFlight()
	if len(e.gaps) == 1 && !e.gaps[0].gap.Certain {
		t.Errorf("the gap is not certain: %+v", *e.gaps[0].gap)
	}
}

// TestHandoverTimeout stops the leader while the other replica cannot connect.
func TestHandoverTimeout(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	f.add()
	f.flow(400)
	f.flows(100)
	f.refuse()
	f.stop(leader)
	leader.waited(handoverTime)
	f.nobody(50)
	f.sim.Reset()
	f.sockets(2)
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.told(message.GapHandoverTimeout, 1)
	e.nothingInFlight()
	if held := e.sockets[testSubscription][0].Retired; len(e.gaps) == 1 && !e.gaps[0].gap.Certain {
		t.Errorf("the gap after %v is not certain: %+v", held, *e.gaps[0].gap)
	}
}

// refuse has Zoom refuse every dial.
func (f *fleet) refuse() {
	f.t.Helper()
	if err := f.sim.Refuse("", zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503}, zoomsim.Span{}); err != nil {
		f.t.Fatal(err)
	}
}

// nobody waits until n events in all have found no socket.
func (f *fleet) nobody(n int64) {
	f.t.Helper()
	f.until("no hole", func(sum zoomsim.Summary) bool { return sum.Nobody >= n })
}

// nothingInFlight checks that a process that ended by itself lost nothing that it had received.
func (e *evidence) nothingInFlight() {
	e.t.Helper()
	for _, entry := range e.missing {
		e.t.Errorf("the event of %v, written to socket %d, is not stored", entry.At, entry.Socket)
	}
}

// TestSecondSignal stops the leader twice while it waits for the other replica, which cannot
// connect.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	f.add()
	f.flow(400)
	f.flows(100)
	f.refuse()
	leader.signal(syscall.SIGTERM)
	leader.says(&leader.stderr, "lease released")
	leader.signal(syscall.SIGTERM)
	leader.killedBy(syscall.SIGTERM)
	f.gone(leader)
	f.sim.Reset()
	f.sockets(2)
	f.flows(100)
	f.finish()
	f.evidence().told(message.GapCrash, 1)
}

// TestStopAll stops the standby first. The leader then waits for nobody, although it heard of the
// standby a moment ago.
func TestStopAll(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	standby := f.add()
	f.flow(400)
	f.flows(100)
	f.stop(standby)
	f.stop(leader)
	leader.waited(0)
	f.nobody(50)
	f.add()
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.told(message.GapStart, 1)
	e.nothingInFlight()
}

// TestStopTogether stops a leader and a standby at once. The standby may be about to take the
// lease, but neither may keep it.
func TestStopTogether(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	for range repeats(8) {
		standby := f.add()
		leader.signal(syscall.SIGTERM)
		standby.signal(syscall.SIGTERM)
		leader.exit(exitOK)
		standby.exit(exitOK)
		f.gone(leader)
		f.gone(standby)
		leader.waited(0)
		if left := f.leases(); len(left) > 0 {
			t.Errorf("a lease is left behind: %v", left)
		}
		leader = f.add()
	}
}

// TestStopJustConnected kills the leader, and stops its successor as soon as that is connected: it
// may not know yet what was before its term.
func TestStopJustConnected(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	f.add()
	f.flow(400)
	rounds := repeats(5)
	for n := range rounds {
		f.add()
		f.flows(100)
		f.kill(f.leader())
		f.sockets(int64(2*n + 2))
		f.stop(f.alive[0])
		f.add()
	}
	f.flows(100)
	f.finish()
	f.evidence().covered(2*rounds, message.GapCrash, message.GapStart)
}
