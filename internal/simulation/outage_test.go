//go:build !race

// Bubbles by the dozen: the race detector has the other tests.
package simulation

import (
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// outages is NATS away for all, for so long each: by its server's end, in silence, and
// with resets; and the leader is sooner or later than its standby to find it again.
func outages(lengths, behinds []time.Duration) (steps []step, length time.Duration) {
	at := time.Minute
	add := func(s step) {
		s.at, s.slot = at, -1
		steps = append(steps, s)
		at += s.last + 45*time.Second + time.Duration(len(steps))*700*time.Millisecond // not always at the same time of a renewal
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

// However long NATS is away and whoever finds it again first, the leader keeps its
// lease and its socket, nothing is lost, and no marker tells of a gap.
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

// Who dies in an outage is replaced within seconds of its end, and a marker tells of it.
func TestDeathInAnOutageOfNATS(t *testing.T) {
	for _, last := range []time.Duration{5 * time.Second, leaseTTL + time.Second, 4 * leaseTTL} {
		p := scenario(2, 4*time.Minute,
			step{at: time.Minute, fault: faultNATSDown, slot: -1, last: last},
			leader(faultCrash, time.Minute+last/2, 2*time.Minute))
		play(t, p, func(t *testing.T, v *evidence, l timeline) {
			if len(l.sockets) != 2 || len(l.markers) != 1 || l.markers[0].Cause != message.GapCrash || l.sockets[0].Cause == zoomsim.CauseDisplaced {
				t.Fatalf("%s: %d sockets, %d markers", last, len(l.sockets), len(l.markers))
			}
			const back, quiet = 2 * time.Second, 3 * time.Second // until a replica is connected to NATS again, and its patience then
			if took := l.sockets[1].Ready.Sub(v.begin.Add(time.Minute + last)); took > back+quiet+time.Second {
				t.Errorf("%s: connected %s after the end of the outage", last, took)
			}
		})
	}
}
