package simulation

import (
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// TestNoRenewalWithTheSameToken: the token endpoint fails while the old token is still valid. A new
// connection with the same token would be no renewal.
func TestNoRenewalWithTheSameToken(t *testing.T) {
	p := scenario(1, 4*time.Minute, step{at: 75 * time.Second, fault: faultToken, mode: "http500", slot: -1, last: 40 * time.Second})
	p.tokenLifetime, p.closeOnExpiry, p.renew = 2*time.Minute, true, "always"
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.sockets) > 5 {
			t.Errorf("%d sockets", len(l.sockets))
		}
	})
}

// TestWaitingForARenewalIsNotBlind: a replica dies while it waits, beyond the old token's expiry,
// for a token for the renewal. When the old connection ended is still known.
func TestWaitingForARenewalIsNotBlind(t *testing.T) {
	p := scenario(2, 6*time.Minute,
		step{at: 75 * time.Second, fault: faultToken, mode: "http500", slot: -1, last: 120 * time.Second},
		step{at: 160 * time.Second, fault: faultCrash, slot: 0, last: 100 * time.Second})
	p.tokenLifetime, p.closeOnExpiry, p.renew = 2*time.Minute, true, "always"
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.dark) != 1 || l.markers[0].from.After(l.dark[0].from.Add(time.Second)) {
			t.Errorf("%d markers, %d gaps", len(l.markers), len(l.dark))
		}
	})
}

// TestGapBehindBackPressure: Zoom closes while NATS holds up reading. The replica reads the close
// long after, but the marker begins when it happened.
func TestGapBehindBackPressure(t *testing.T) {
	p := scenario(1, 5*time.Minute,
		step{at: 60 * time.Second, fault: faultEverywhere, mode: "cut", slot: -1, last: 120 * time.Second},
		step{at: 61 * time.Second, fault: faultBurst, n: 6000, slot: -1},
		step{at: 70 * time.Second, fault: faultClose, slot: -1})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.dark) != 1 || l.markers[0].from.After(l.dark[0].from.Add(time.Second)) {
			t.Errorf("%d markers, %d gaps", len(l.markers), len(l.dark))
		}
	})
}

// TestCrashFarFromNATS: a replica restarts after a crash. It is far from NATS, and the last
// messages in the stream belong to another subscription.
func TestCrashFarFromNATS(t *testing.T) {
	p := scenario(1, 5*time.Minute,
		step{at: 60 * time.Second, fault: faultBurst, n: 200, sub: 0, slot: -1},
		step{at: 61 * time.Second, fault: faultCrash, slot: 0, last: 5 * time.Second})
	p.subscriptions, p.rate, p.natsDelay = 2, 0.02, 30*time.Millisecond
	playAll(t, p, func(t *testing.T, v *evidence) {
		for _, l := range v.timelines() {
			if len(l.markers) != 1 || l.markers[0].Cause != message.GapCrash {
				t.Errorf("%s: %d markers", l.sub, len(l.markers))
			}
		}
	})
}

// TestLateGapEndsWithTheSuccessorsFirstConnection: a replica learns that its connection was dead
// when its successor has already reconnected. No marker goes beyond the successor's first
// connection.
func TestLateGapEndsWithTheSuccessorsFirstConnection(t *testing.T) {
	p := scenario(2, 4*time.Minute,
		step{at: 60 * time.Second, fault: faultZoomCut, slot: 0, last: 60 * time.Second},
		step{at: 60*time.Second + time.Millisecond, fault: faultNATSCut, slot: 0, last: 60 * time.Second},
		step{at: 75 * time.Second, fault: faultReset, slot: -1})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		for _, m := range l.markers {
			if m.length() > 5*time.Second {
				t.Errorf("a marker tells of %s, %s", v.spanText(m.span), m.Cause)
			}
		}
	})
}

// alarms returns all alarms in the stream.
func (v *evidence) alarms(t *testing.T) (all []message.Alarm) {
	for _, m := range v.stored {
		if m.kind() != message.KindAlarm {
			continue
		}
		a, err := message.ParseAlarm(m.data, m.at)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// TestAlarmOutlivesItsReplica: the replica that raised the alarm dies, and the next one clears it.
func TestAlarmOutlivesItsReplica(t *testing.T) {
	p := scenario(2, 6*time.Minute,
		step{at: 60 * time.Second, fault: faultStranger, slot: -1, last: 5 * time.Second},
		step{at: 80 * time.Second, fault: faultCrash, slot: 0, last: 60 * time.Second})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		all := v.alarms(t)
		if len(all) != 2 || !all[0].Raised || all[1].Raised || all[0].Replica == all[1].Replica {
			t.Errorf("%+v", all)
		}
	})
}

// TestAlarmIsClearedByAConnectionThatLasts: time without a connection does not count as calm.
func TestAlarmIsClearedByAConnectionThatLasts(t *testing.T) {
	p := scenario(1, 6*time.Minute,
		step{at: 60 * time.Second, fault: faultStranger, slot: -1, last: 5 * time.Second},
		step{at: 75 * time.Second, fault: faultRefuse, mode: "http503", slot: -1, last: 90 * time.Second},
		step{at: 75*time.Second + time.Millisecond, fault: faultReset, slot: -1})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		all := v.alarms(t)
		last := l.sockets[len(l.sockets)-1]
		if len(all) != 2 || !all[0].Raised || all[1].Raised || all[1].At.Before(last.Ready.Add(time.Minute)) {
			t.Errorf("%+v, connected at %s", all, v.clock(last.Ready))
		}
	})
}

// TestTermThatEndsWithoutNATS: a replica gives a lease away but keeps reading, since its successor
// cannot connect. It is displaced while NATS is away for all. It also leads another subscription,
// so it still answers and looks well. When the successor connects, the replica can no longer be
// asked, but the marker begins in time.
func TestTermThatEndsWithoutNATS(t *testing.T) {
	p := scenario(2, 4*time.Minute,
		step{at: 100 * time.Millisecond, fault: faultZoomCut, slot: 1, last: 60 * time.Second},
		step{at: 20 * time.Second, fault: faultEverywhere, mode: "cut", slot: -1, last: 10 * time.Second},
		step{at: 25 * time.Second, fault: faultStranger, sub: 0, slot: -1, last: 2 * time.Second},
		step{at: 25 * time.Second, fault: faultStranger, sub: 1, slot: -1, last: 2 * time.Second},
		step{at: 50 * time.Second, fault: faultNATSCut, slot: 0, last: 60 * time.Second})
	p.subscriptions = 2
	playAll(t, p, func(t *testing.T, v *evidence) {
		for _, l := range v.timelines() {
			if len(l.dark) == 0 || len(l.markers) == 0 || l.markers[0].from.After(l.dark[0].from.Add(time.Second)) {
				t.Errorf("%s: %d markers, %d gaps", l.sub, len(l.markers), len(l.dark))
			}
		}
	})
}

// TestStopAfterAStranger: a stranger displaces a replica that cannot reach NATS, and the replica
// stops before it could prove that it still holds the lease. It does hold it, so its successor is
// not to blame.
func TestStopAfterAStranger(t *testing.T) {
	p := scenario(2, 3*time.Minute,
		step{at: 60 * time.Second, fault: faultNATSHole, slot: 0, last: 4 * time.Second},
		step{at: 61 * time.Second, fault: faultStranger, slot: -1, last: time.Second},
		step{at: 63 * time.Second, fault: faultStop, slot: 0, last: 30 * time.Second})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.dark) != 1 || l.markers[0].from.After(l.dark[0].from.Add(time.Second)) {
			t.Errorf("%d markers, %d gaps", len(l.markers), len(l.dark))
		}
	})
}

// TestNATSIsLostWhileDialing: the leader loses NATS while it dials, and its standby takes over. The
// dial must end, or it would displace the successor.
func TestNATSIsLostWhileDialing(t *testing.T) {
	p := scenario(2, 3*time.Minute,
		step{at: 60 * time.Second, fault: faultReset, slot: 0},
		step{at: 60*time.Second + 30*time.Millisecond, fault: faultZoomHole, slot: 0, last: 8 * time.Second},
		step{at: 61 * time.Second, fault: faultNATSCut, slot: 0, last: 20 * time.Second})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.sockets) != 2 || len(l.markers) != 1 {
			t.Errorf("%d sockets, %d markers", len(l.sockets), len(l.markers))
		}
	})
}

// TestStrangerInAHandover: a leader steps down, a stranger displaces it while its successor dials in
// vain, and its process dies. Nobody can be asked who displaced it, and still the successor does
// not take that for its own doing.
func TestStrangerInAHandover(t *testing.T) {
	p := scenario(2, 3*time.Minute,
		step{at: 58 * time.Second, fault: faultZoomHole, slot: 1, last: 13 * time.Second},
		step{at: 60 * time.Second, fault: faultStepDown, slot: 0},
		step{at: 63 * time.Second, fault: faultStranger, slot: -1, last: time.Second},
		step{at: 65 * time.Second, fault: faultCrash, slot: 0, last: 30 * time.Second})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.markers) != 1 || len(l.dark) != 1 || l.markers[0].from.After(l.dark[0].from) {
			t.Errorf("%d markers, %d gaps", len(l.markers), len(l.dark))
		}
	})
}

// TestStepDownWhileDialing: a replica is told to step down while it dials, and the dial succeeds a
// moment later. Only then does its successor dial.
func TestStepDownWhileDialing(t *testing.T) {
	p := scenario(2, 3*time.Minute,
		step{at: 60 * time.Second, fault: faultReset, slot: 0},
		step{at: 60*time.Second + 30*time.Millisecond, fault: faultZoomHole, slot: 0, last: 3 * time.Second},
		step{at: 62 * time.Second, fault: faultStepDown, slot: 0})
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		if len(l.sockets) != 3 || len(l.markers) != 1 {
			t.Errorf("%d sockets, %d markers", len(l.sockets), len(l.markers))
		}
	})
}
