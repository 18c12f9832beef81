package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestStopAlone stops the only replica and starts it again.
func TestStopAlone(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	m := f.add()
	f.flow(400)
	f.flows(100)
	if took := f.stop(m); took > 2*time.Second {
		t.Errorf("it took %v to stop, with nobody to wait for", took)
	}
	f.nobody(50)
	f.add()
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.told(bridge.GapStart, 1)
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
	took := f.stop(leader)
	f.nobody(50)
	f.sim.Reset()
	f.sockets(2)
	f.flows(100)
	f.finish()

	t.Logf("stopped in %v", took)
	e := f.evidence()
	e.told(bridge.GapHandoverTimeout, 1)
	e.nothingInFlight()
	if held := e.sockets[testSubscription][0].Retired; len(e.gaps) == 1 && !e.gaps[0].gap.Certain {
		t.Errorf("the gap after %v is not certain: %+v", held, *e.gaps[0].gap)
	}
}

// refuse makes Zoom refuse every dial.
func (f *fleet) refuse() {
	f.t.Helper()
	if err := f.sim.Refuse("", zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503}, zoomsim.Span{}); err != nil {
		f.t.Fatal(err)
	}
}

// nobody waits until so many events have found no socket.
func (f *fleet) nobody(n int64) {
	f.t.Helper()
	f.until("no hole", func(sum zoomsim.Summary) bool { return sum.Nobody >= n })
}

// nothingInFlight checks that a process that ended by itself lost nothing that
// it had received.
func (e *evidence) nothingInFlight() {
	e.t.Helper()
	for _, entry := range e.missing {
		e.t.Errorf("the event of %v, written to socket %d, is not stored", entry.At, entry.Socket)
	}
}

// TestSecondSignal stops the leader twice while it waits for the other replica,
// which cannot connect.
func TestSecondSignal(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	f.add()
	f.flow(400)
	f.flows(100)
	f.refuse()
	leader.signal(syscall.SIGTERM)
	leader.says(&leader.stderr, "lease released")
	second := time.Now()
	leader.signal(syscall.SIGTERM)
	<-leader.exited
	f.gone(leader)
	if took := time.Since(second); took > 2*time.Second {
		t.Errorf("the second signal took %v", took)
	}
	if status := leader.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended by itself: %v:\n%s", leader.cmd.ProcessState, &leader.stderr)
	}
	f.sim.Reset()
	f.sockets(2)
	f.flows(100)
	f.finish()
	f.evidence().told(bridge.GapCrash, 1)
}

// TestStopAll stops the standby first. The leader then has nobody to wait for,
// though it has heard of the standby a moment ago.
func TestStopAll(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	standby := f.add()
	f.flow(400)
	f.flows(100)
	f.stop(standby)
	if took := f.stop(leader); took > 2*time.Second {
		t.Errorf("it took %v to stop, with nobody to wait for", took)
	}
	f.nobody(50)
	f.add()
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.told(bridge.GapStart, 1)
	e.nothingInFlight()
}

// TestStopTogether stops a leader and a standby at once. The standby may be about
// to take the lease then: nobody may be left holding it.
func TestStopTogether(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	slow := 0 // a leader that misses the other's leaving waits for it in vain, for as long as a handover may take
	for range repeats(8) {
		standby := f.add()
		began := time.Now()
		leader.signal(syscall.SIGTERM)
		standby.signal(syscall.SIGTERM)
		leader.exit(exitOK)
		standby.exit(exitOK)
		f.gone(leader)
		f.gone(standby)
		if took := time.Since(began); took > 2*time.Second {
			slow++
			if slow > 1 || took > 5*time.Second {
				t.Errorf("it took %v to stop, with nobody to wait for", took)
			}
		}
		if left := f.leases(); len(left) > 0 {
			t.Errorf("a lease is left behind: %v", left)
		}
		leader = f.add()
	}
}

// TestStopJustConnected kills the leader and stops its successor as soon as that
// is connected: it may not know yet what was before.
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
	f.evidence().covered(2*rounds, bridge.GapCrash, bridge.GapStart)
}
