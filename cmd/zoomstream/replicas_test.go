package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// TestKill9 kills the leader again and again. Each time another replica connects, and the stream
// has a marker of the gap.
func TestKill9(t *testing.T) {
	for _, replicas := range []int{2, 3} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) { kill9(t, replicas, repeats(6)) })
	}
}

func kill9(t *testing.T, replicas, kills int) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	for range replicas {
		f.add()
	}
	f.flow(400)
	var victims []string
	for n := range kills {
		f.flows(100 + rand.Int64N(80)) // at a random moment between two probes
		victim := f.leader()
		victims = append(victims, victim.name)
		f.kill(victim)
		f.sockets(int64(n + 2))
		f.add()
	}
	f.finish()

	e := f.evidence()
	e.told(message.GapCrash, kills)
	var holes []time.Duration
	for _, h := range e.holes() {
		holes = append(holes, h.to.Sub(h.from))
	}
	median, worst := spread(holes)
	t.Logf("%d kills: median %v, worst %v without a socket; %d events found nobody, %d were lost in flight",
		kills, median.Round(time.Millisecond), worst.Round(time.Millisecond), len(e.nobody), len(e.missing))
	if worst > 10*time.Second { // it would be 15 s if the lease had to expire
		t.Errorf("%v without a socket", worst)
	}
	for i, s := range e.gaps {
		if s.gap.PreviousReplica != victims[i] || s.gap.Replica == victims[i] {
			t.Errorf("marker %d names %s and %s, %s was killed", i, s.gap.PreviousReplica, s.gap.Replica, victims[i])
		}
	}
}

// TestSIGTERM stops the leader again and again while another replica stands by:
// nothing is lost.
func TestSIGTERM(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	f.add()
	f.add()
	f.flow(1000)
	var took []time.Duration
	for range repeats(10) {
		f.flows(200)
		took = append(took, f.stop(f.leader()))
		f.add()
	}
	f.finish()

	e := f.evidence()
	e.whole()
	if got, want := len(e.sockets[testSubscription]), len(took)+1; got < want {
		t.Errorf("%d sockets, want %d", got, want)
	}
	median, worst := spread(took)
	if median > 5*time.Second {
		t.Errorf("it takes %v to stop", median)
	}
	t.Logf("%d stops: median %v, worst %v; %d events", len(took), median, worst, len(e.stored))
}

// TestRollingRestart restarts each of three replicas twice.
func TestRollingRestart(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	for range 3 {
		f.add()
	}
	f.flow(1000)
	for range 6 {
		f.flows(100)
		f.stop(f.alive[0]) // the oldest
		f.add()
	}
	f.flows(100)
	f.finish()

	e := f.evidence()
	e.whole()
	if n := len(e.sockets[testSubscription]); n < 3 {
		t.Errorf("%d sockets: nothing was handed over", n)
	}
}
