package lease

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// Others that come and go, as in a crash loop, wake every elector. That must not
// put renewals off.
func TestNewsOfOthersDoesNotDelayRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		for n := range 30 {
			text, err := json.Marshal(presence{Replica: "x", Nonce: fmt.Sprint("n", n), Leaving: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.js.Conn().Publish(a.presenceSubject(), text); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if a.reigns() != 1 || !a.trusted() {
			t.Errorf("%d terms", a.reigns())
		}
	})
}

// Two apps, or two generations of one, in one bucket.
func TestReplicasWithOtherSubscriptionsDoNotCount(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := subscriptions(20)
		a, b := w.join("a", all...), w.join("b", all...)
		time.Sleep(time.Minute)
		before := a.reigns() + b.reigns()
		c := w.join("c", "other", all[0])
		d := w.join("d", "other")
		time.Sleep(time.Minute)
		if moved := a.reigns() + b.reigns() - before; moved > 3 {
			t.Errorf("%d leases moved", moved)
		}
		if a.Others("other") != 0 && a.Others(all[1]) != 1 || a.Others(all[0]) != 2 || d.Others(all[1]) != 2 || c.Others("other") != 1 {
			t.Error("who would lead what is not known")
		}
	})
}

// A rolling restart right after a step down: who has just given the lease away
// is the only one left to take it.
func TestReticenceEndsWhenTheLeaseIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(5 * time.Second)
		a.StepDown()
		w.await("b leads", time.Second, func() bool { return b.leads(sub) })
		time.Sleep(100 * time.Millisecond)
		go b.stop()
		w.await("a leads", time.Second, func() bool { return a.leads(sub) })
	})
}

// After a crash of all, many start at once, and nobody has ever heard of the dead.
func TestTheDeadAreRememberedHoweverManyStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		a.crash()
		time.Sleep(50 * time.Millisecond)
		var all []*member
		for n := range 25 {
			all = append(all, w.join(fmt.Sprint("b", n), sub))
			time.Sleep(37 * time.Millisecond)
		}
		w.await("one leads", 2*time.Second, func() bool {
			for _, m := range all {
				if m.leads(sub) {
					return true
				}
			}
			return false
		})
	})
}

// Where nobody can be asked (a permission, a leaf node), everybody looks dead.
// That costs a take-over or two, and never a fight.
func TestNoFightWhereNobodyCanBeAsked(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.deaf = true
		a, b := w.join("a", sub), w.join("b", sub)
		time.Sleep(time.Minute)
		if reigns := a.reigns() + b.reigns(); reigns > 4 || a.leads(sub) == b.leads(sub) {
			t.Errorf("%d terms", reigns)
		}
	})
}

// An announcement that was made before a replica left may be published after it
// has said so.
func TestLeavingIsForGood(t *testing.T) {
	p := newPeers()
	here := presence{Nonce: "a", Subscriptions: []string{sub}}
	p.announced(here)
	if p.count(sub, false) != 1 {
		t.Error("a replica that is there does not count")
	}
	gone := here
	gone.Leaving = true
	p.announced(gone)
	p.announced(here)
	if p.count(sub, false) != 0 {
		t.Error("a replica that has left counts")
	}
}

// One that leaves closes its connection only when the server has read that it does:
// with the connection, what was still on its way is lost.
func TestLeavingIsHeard(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		for n := range 10 {
			b := w.join(fmt.Sprint("b", n), sub)
			w.await("a knows of it", time.Second, func() bool { return a.Others(sub) == 1 })
			b.link.Delay(time.Duration(n)*40*time.Millisecond, 0, 1)
			b.stop()
			time.Sleep(10 * time.Millisecond)
			if a.Others(sub) != 0 {
				t.Errorf("it is counted on when it has left with %v to the server", time.Duration(n)*40*time.Millisecond)
				time.Sleep(forgetAfter)
			}
		}
	})
}

// One that has no connection leaves without waiting for it.
func TestLeavingWithoutNATS(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		b := w.join("b", sub)
		b.link.Cut()
		w.await("the connection is lost", time.Second, func() bool { return !b.nc.IsConnected() })
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}
