package main

import (
	"slices"
	"testing"
)

// TestStandbyThatCouldNotLead: a standby with a wrong secret says so at once, survives the leader's
// death, and gives the lease to the first replica that can lead.
func TestStandbyThatCouldNotLead(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	leader := f.add()
	right := slices.Clone(f.settings)
	f.settings = append(slices.Clone(right), "ZOOM_CLIENT_SECRET=wrong-must-not-leak")
	standby := f.add()
	standby.says(&standby.stderr, `Zoom has refused this replica's credentials since`)
	shown := start(t, right, "status")
	shown.exit(exitOK)
	shown.says(&shown.stdout, "invalid_client")
	if n := f.sim.Summary(testSubscription).Sockets; n != 1 {
		t.Errorf("%d connections", n)
	}

	f.kill(leader)
	standby.says(&standby.stderr, `"code":"lease.taken"`)
	f.settings = right
	back := f.add()
	f.live()
	if f.leader() != back {
		t.Errorf("%s does not lead", back.name)
	}
	select {
	case <-standby.exited:
		t.Errorf("the standby has ended:\n%s", &standby.stderr)
	default:
	}
	f.finish()
}
