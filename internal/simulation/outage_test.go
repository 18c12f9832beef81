//go:build !race

// Excluded under the race detector: it has the other tests, and these fill dozens of bubbles.
package simulation

import (
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// outages returns steps that take NATS away from all replicas for each length: by stopping the
// server, by silence and by resets. After the first two, the leader finds NATS again sooner or
// later than its standby by each of behinds.
func outages(lengths, behinds []time.Duration) (steps []step, length time.Duration) {
	at := time.Minute
	add := func(s step) {
		s.at, s.slot = at, -1
		steps = append(steps, s)
		at += s.last + 45*time.Second + time.Duration(len(steps))*700*time.Millisecond // at varying times before a renewal
	}
	for _, last := range lengths {
		for _, behind := range behinds {
			add(step{fault: faultNATSDown, last: last, behind: behind})
			add(step{fault: faultEverywhere, mode: "hole", last: last, behind: behind})
		}
		add(step{fault: faultEverywhere, mode: "cut", last: last})
	}
	return steps, at
}

// TestOutagesOfNATSMoveNothing: however long NATS is away, and whoever finds it again first, the
// leader keeps its lease and its socket, nothing is lost, and there is no gap marker.
func TestOutagesOfNATSMoveNothing(t *testing.T) {
	steps, length := outages(
		[]time.Duration{leaseTTL - time.Second, leaseTTL + time.Second, 3 * leaseTTL},
		[]time.Duration{-mostBehind, mostBehind / 2, mostBehind})
	p := scenario(2, length, steps...)
	p.rate = 0.3
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.sockets) != 1 || len(l.markers)+len(l.dark)+len(l.lost) != 0 {
			t.Errorf("%d sockets, %d markers, %d gaps, %d events lost", len(l.sockets), len(l.markers), len(l.dark), len(l.lost))
		}
		if v.judged["P6 outage"] != len(steps) {
			t.Errorf("%d of %d outages are judged", v.judged["P6 outage"], len(steps))
		}
	})
}

// TestDeathInAnOutageOfNATS: a leader that dies in an outage is replaced within seconds of its end,
// and there is a gap marker.
func TestDeathInAnOutageOfNATS(t *testing.T) {
	for _, last := range []time.Duration{5 * time.Second, leaseTTL + time.Second, 4 * leaseTTL} {
		p := scenario(2, 4*time.Minute,
			step{at: time.Minute, fault: faultNATSDown, slot: -1, last: last},
			leader(faultCrash, time.Minute+last/2, 2*time.Minute))
		play(t, p, func(t *testing.T, v *evidence, l timeline) {
			if len(l.sockets) != 2 || len(l.markers) != 1 || l.markers[0].Cause != message.GapCrash || l.sockets[0].Cause == zoomsim.CauseDisplaced {
				t.Fatalf("%s: %d sockets, %d markers", last, len(l.sockets), len(l.markers))
			}
			const back, quiet = 2 * time.Second, 3 * time.Second // until a replica is connected to NATS again, and how long it then waits for the leader
			if took := l.sockets[1].Ready.Sub(v.begin.Add(time.Minute + last)); took > back+quiet+time.Second {
				t.Errorf("%s: connected %s after the end of the outage", last, took)
			}
		})
	}
}
