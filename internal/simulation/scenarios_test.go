package simulation

import (
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// scenario returns a plan with the given steps and no other faults.
func scenario(replicas int, length time.Duration, steps ...step) *plan {
	return &plan{
		replicas: replicas, subscriptions: 1, rate: 4, stagger: time.Second, natsDelay: time.Millisecond, zoomDelay: 10 * time.Millisecond,
		tokenLifetime: time.Hour, steps: steps, length: length, quiet: 30 * time.Second,
	}
}

func leader(f fault, at, last time.Duration) step {
	return step{at: at, fault: f, slot: -1, last: last}
}

// playAll runs a scenario and then calls look. The test fails if a promise is broken.
func playAll(t *testing.T, p *plan, look func(*testing.T, *evidence)) {
	t.Helper()
	_, problems := simulate(t, p, testing.Verbose(), look)
	report(t, p, problems)
}

// play is playAll with the timeline of the first subscription.
func play(t *testing.T, p *plan, look func(*testing.T, *evidence, timeline)) {
	t.Helper()
	playAll(t, p, func(t *testing.T, v *evidence) { look(t, v, v.timelines()[0]) })
}

// is checks a marker's cause and times. It may begin a little early, when the replica was last
// heard of.
func (m marker) is(t *testing.T, v *evidence, cause message.GapCause, from, to time.Time) {
	t.Helper()
	const early = 2 * time.Second
	if m.Cause != cause || m.from.After(from.Add(100*time.Millisecond)) || m.from.Before(from.Add(-early)) ||
		m.to.Sub(to).Abs() > 200*time.Millisecond || m.Milliseconds != m.to.Sub(m.from).Milliseconds() || m.PreviousReplica == "" || m.Replica == "" {
		t.Errorf("a marker tells of %s, %s, want %s from %s to %s", v.spanText(m.span), m.Cause, cause, v.clock(from), v.clock(to))
	}
}

func TestConnectionsAreRenewedBeforeTheirTokensExpire(t *testing.T) {
	p := scenario(2, 20*time.Minute)
	p.tokenLifetime, p.closeOnExpiry, p.renew = 2*time.Minute, true, "always"
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers)+len(l.dark)+len(l.lost) != 0 || len(l.sockets) < 10 {
			t.Errorf("%d markers, %d gaps, %d events lost with %d sockets", len(l.markers), len(l.dark), len(l.lost), len(l.sockets))
		}
		for _, k := range l.sockets[:len(l.sockets)-1] {
			if k.Cause != zoomsim.CauseDisplaced {
				t.Errorf("socket %d ended: %s", k.N, k.Cause)
			}
		}
	})
}

// TestExpiryIsLearned: the first close at a token's expiry leaves a gap. After that even the
// successor knows, and renews in time.
func TestExpiryIsLearned(t *testing.T) {
	p := scenario(2, 20*time.Minute, leader(faultStop, 7*time.Minute, 10*time.Second), leader(faultCrash, 13*time.Minute, 10*time.Second))
	p.tokenLifetime, p.closeOnExpiry = 2*time.Minute, true
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		expired := 0
		for _, k := range l.sockets {
			if k.Cause == zoomsim.CauseExpired {
				expired++
			}
		}
		if expired != 1 || len(l.markers) != 2 || l.markers[0].Cause != message.GapDisconnected || l.markers[1].Cause != message.GapCrash {
			t.Errorf("%d sockets expired, %d markers", expired, len(l.markers))
		}
	})
}

func TestConnectionsAreNotRenewedWithoutNeed(t *testing.T) {
	p := scenario(1, 20*time.Minute)
	p.tokenLifetime = 2 * time.Minute
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.sockets) != 1 || len(l.markers) != 0 {
			t.Errorf("%d sockets, %d markers", len(l.sockets), len(l.markers))
		}
	})
}

// TestAllCrash: all replicas crash, and the next one knows from the state when the last one was
// last heard of.
func TestAllCrash(t *testing.T) {
	first, second := step{at: time.Minute, fault: faultCrash, slot: 0, last: 3 * time.Minute}, step{at: time.Minute, fault: faultCrash, slot: 1, last: 4 * time.Minute}
	play(t, scenario(2, 8*time.Minute, first, second), func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.sockets) != 2 {
			t.Fatalf("%d markers, %d sockets", len(l.markers), len(l.sockets))
		}
		l.markers[0].is(t, v, message.GapCrash, l.sockets[0].Retired, l.sockets[1].Ready)
	})
}

func TestStopOfTheLastOne(t *testing.T) {
	play(t, scenario(1, 5*time.Minute, leader(faultStop, time.Minute, time.Minute)), func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || !l.markers[0].Certain || len(l.sockets) != 2 {
			t.Fatalf("%d markers, %d sockets", len(l.markers), len(l.sockets))
		}
		l.markers[0].is(t, v, message.GapStart, l.sockets[0].Retired, l.sockets[1].Ready)
	})
}

// TestHandoverInVain: nobody connects in time, and until the end events are on their way to a
// distant stream. All of them are stored, so the gap begins after them.
func TestHandoverInVain(t *testing.T) {
	p := scenario(2, 90*time.Second,
		step{at: 59 * time.Second, fault: faultRefuse, mode: "http503", slot: -1, last: 20 * time.Second}, leader(faultStop, time.Minute, 20*time.Second))
	p.rate, p.natsDelay = 20, 150*time.Millisecond
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.sockets) != 2 {
			t.Fatalf("%d markers, %d sockets", len(l.markers), len(l.sockets))
		}
		l.markers[0].is(t, v, message.GapHandoverTimeout, l.sockets[0].Retired, l.sockets[1].Ready)
		if early := l.sockets[0].Retired.Sub(l.markers[0].from); early > time.Second {
			t.Errorf("the marker begins %s before the hole", early)
		}
	})
}

// TestLeaderCutOffFromNATS: the leader is cut off by silence until after its lease, or by resets.
// Each time the socket changes hands once.
func TestLeaderCutOffFromNATS(t *testing.T) {
	for _, f := range []fault{faultNATSHole, faultNATSCut} {
		play(t, scenario(2, 4*time.Minute, leader(f, time.Minute, time.Minute)), func(t *testing.T, v *evidence, l timeline) {
			if len(l.sockets) != 2 || len(l.dark) != 0 || len(l.lost) != 0 {
				t.Errorf("%s: %d sockets, %d gaps, %d events lost", f, len(l.sockets), len(l.dark), len(l.lost))
			}
			for _, m := range l.markers {
				if m.Certain {
					t.Errorf("%s: a marker tells of %s, %s, for certain", f, v.spanText(m.span), m.Cause)
				}
			}
		})
	}
}

// TestStranger: a stranger holds the subscription for half a minute, and later connects again and
// again.
func TestStranger(t *testing.T) {
	hold := step{at: time.Minute, fault: faultStranger, slot: -1, last: 30 * time.Second}
	flap := step{at: 10 * time.Minute, fault: faultFlapping, slot: -1, last: 30 * time.Second, n: 6}
	play(t, scenario(2, 20*time.Minute, hold, flap), func(t *testing.T, v *evidence, l timeline) {
		var alarms []message.Alarm
		for _, m := range v.stored {
			if m.kind() != message.KindAlarm {
				continue
			}
			a, err := message.ParseAlarm(m.data, m.at)
			if err != nil || a.Name != "contested" || a.Subscription != l.sub || a.Replica == "" || a.Epoch == 0 {
				t.Fatalf("%s: %v", m.data, err)
			}
			alarms = append(alarms, a)
		}
		if len(alarms) != 4 {
			t.Fatalf("%d alarms", len(alarms))
		}
		for n, a := range alarms {
			if a.Raised != (n%2 == 0) {
				t.Errorf("alarm %d at %s: raised %v", n, v.clock(a.At), a.Raised)
			}
		}
		if alarms[1].At.Sub(alarms[0].At) < time.Minute {
			t.Error("cleared before the connection had lasted")
		}
		kicked := 0
		for _, m := range l.markers {
			if m.Cause == message.GapKicked && m.Certain {
				kicked++
			}
		}
		if kicked != len(l.markers) || kicked < 2 {
			t.Errorf("%d of %d markers say kicked", kicked, len(l.markers))
		}
		for n := 2; n < len(l.sockets); n++ { // the pauses grow
			if l.sockets[n].Ready.Sub(l.sockets[n-2].Ready) < 2*time.Second {
				t.Errorf("connected three times within %s", l.sockets[n].Ready.Sub(l.sockets[n-2].Ready))
			}
		}
	})
}
