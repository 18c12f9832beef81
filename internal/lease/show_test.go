package lease

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// told collects what a Candidate reports.
type told struct {
	mu          sync.Mutex
	transitions []string
	holders     []string
	taken       []string // Holding.Taken of each lease that was held
}

func (d *told) transition(_, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.transitions = append(d.transitions, reason)
}

func (d *told) changed(_ string, now Holding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders = append(d.holders, now.Replica)
	if now.Held {
		d.taken = append(d.taken, now.Taken)
	}
}

func (d *told) reasons() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.transitions)
}

// hear has a member report its transitions from now on. Call it before the member leads anything.
func hear(m *member) *told {
	d := &told{}
	m.opt.Transition = d.transition
	return d
}

// TestHoldingAndMargin: who holds a lease, and for how long its holder may still dial without a
// new proof of it.
func TestHoldingAndMargin(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(10 * time.Second)
		for name, m := range map[string]*member{"a": a, "b": b} {
			h := m.Holding(sub)
			if !h.Held || h.Replica != "a" || h.Nonce != a.Nonce() || h.Epoch != a.term().Epoch || h.Since.IsZero() || time.Since(h.Since) > time.Minute {
				t.Errorf("%s says %+v", name, h)
			}
		}
		for range 60 { // at any moment
			margin, leads := a.Margin(sub)
			if !leads || margin <= 0 || margin > ttl {
				t.Fatalf("a has %s, %v", margin, leads)
			}
			time.Sleep(990 * time.Millisecond)
		}
		if margin, leads := b.Margin(sub); leads || margin != 0 {
			t.Errorf("b has %s, %v", margin, leads)
		}
		if margin, leads := a.Margin("unknown"); leads || margin != 0 {
			t.Errorf("of an unknown one: %s, %v", margin, leads)
		}
		if h := a.Holding("unknown"); h != (Holding{}) {
			t.Errorf("of an unknown one: %+v", h)
		}
		a.link.BlackHole()
		time.Sleep(ttl)
		if margin, leads := a.Margin(sub); margin > 0 {
			t.Errorf("cut off for %s, a has %s, %v", ttl, margin, leads)
		}
		w.await("b leads", ttl, func() bool { return b.leads(sub) })
		if h := b.Holding(sub); h.Replica != "b" || h.Epoch != b.term().Epoch {
			t.Errorf("b says %+v", h)
		}
		if margin, leads := b.Margin(sub); !leads || margin <= 0 {
			t.Errorf("b has %s, %v", margin, leads)
		}
		a.link.Heal()
		w.await("a knows", time.Minute, func() bool { return a.Holding(sub).Replica == "b" })
	})
}

// TestHoldingAfterTheLastOne: a released lease has no holder.
func TestHoldingAfterTheLastOne(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		watcher := w.join("watcher", "another")
		time.Sleep(2 * time.Second)
		a.stop()
		w.await("the watcher knows", 5*time.Second, func() bool { return !watcher.Holding(sub).Held })
		if h := watcher.Holding(sub); h != (Holding{}) {
			t.Errorf("%+v", h)
		}
		if margin, leads := a.Margin(sub); leads || margin != 0 {
			t.Errorf("a has %s, %v when it has stopped", margin, leads)
		}
	})
}

func TestPeersAreListed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c, a := w.join("c", sub), w.join("a", sub)
		b := w.join("b", "another")
		time.Sleep(5 * time.Second)
		var names []string
		for _, p := range b.Peers() {
			names = append(names, p.Replica)
			if p.Nonce == "" || p.Nonce == b.Nonce() || time.Since(p.Heard) > 2*time.Second || p.Leaving {
				t.Errorf("%+v", p)
			}
		}
		if !slices.Equal(names, []string{"a", "c"}) {
			t.Errorf("b hears %v", names)
		}
		a.Leave()
		time.Sleep(100 * time.Millisecond)
		if all := b.Peers(); len(all) != 2 || !all[0].Leaving || all[1].Leaving {
			t.Errorf("%+v", all)
		}
		c.crash()
		w.await("c is forgotten", forgetAfter+time.Second, func() bool { return len(b.Peers()) == 1 })
		a.stop()
		w.await("a is forgotten", forgetAfter+time.Second, func() bool { return len(b.Peers()) == 0 })
	})
}

// TestGoneAreListed: replicas that were killed are listed for ten minutes. Those that left are not,
// and a replica that is cut off itself lists nobody.
func TestGoneAreListed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		killed, left, cut := w.join("killed", sub), w.join("left", sub), w.join("cut", "another")
		b := w.join("b", "another")
		gone := func(m *member) (names []string) {
			for _, p := range m.Gone() {
				names = append(names, p.Replica)
				if p.Nonce == "" || time.Since(p.Heard) > goneFor {
					t.Errorf("%+v", p)
				}
			}
			return names
		}
		time.Sleep(5 * time.Second)
		if all := gone(b); all != nil {
			t.Errorf("%v are gone, and none is", all)
		}
		left.stop()
		time.Sleep(time.Second)
		killed.crash()
		cut.link.BlackHole()
		w.await("both are gone", forgetAfter+time.Second, func() bool { return slices.Equal(gone(b), []string{"cut", "killed"}) })
		time.Sleep(time.Minute)
		if all := gone(cut); all != nil {
			t.Errorf("one that hears nobody says that %v are gone", all)
		}
		cut.link.Heal()
		w.await("one of them is back", time.Minute, func() bool {
			return slices.Equal(gone(b), []string{"killed"}) && slices.Equal(gone(cut), []string{"killed"})
		})
		w.join("killed", sub)
		w.await("the other one is started again", 10*time.Second, func() bool { return gone(b) == nil })
		again := w.join("again", sub)
		time.Sleep(time.Second)
		again.crash()
		w.await("another one is gone", forgetAfter+time.Second, func() bool { return slices.Equal(gone(b), []string{"again"}) })
		time.Sleep(goneFor)
		if all := gone(b); all != nil {
			t.Errorf("after %s %v are told of", goneFor, all)
		}
	})
}

// TestTransitions: changes of the leader are reported with their reasons: a planned change, a
// death, a lost host.
func TestTransitions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		hold := w.leader("hold") // leads until the others are ready to listen
		a := w.join("a", sub)
		ofA := hear(a)
		hold.stop()
		w.await("a leads", 5*time.Second, func() bool { return a.leads(sub) })
		time.Sleep(time.Second)
		b := w.join("b", sub)
		ofB := hear(b)
		time.Sleep(5 * time.Second)
		a.stop()
		w.await("b leads", 5*time.Second, func() bool { return b.leads(sub) })
		c := w.join("c", sub)
		ofC := hear(c)
		time.Sleep(5 * time.Second)
		b.crash()
		w.await("c leads", 5*time.Second, func() bool { return c.leads(sub) })
		d := w.join("d", sub)
		ofD := hear(d)
		time.Sleep(5 * time.Second)
		c.link.BlackHole()
		w.await("d leads", 2*ttl, func() bool { return d.leads(sub) })
		c.link.Heal()
		w.await("c knows", time.Minute, func() bool { return !c.leads(sub) })
		time.Sleep(time.Second)
		for name, x := range map[string]struct {
			of   *told
			want []string
		}{
			"a": {ofA, []string{taken, endReleased}}, "c": {ofC, []string{takenDead, "ended"}}, "d": {ofD, []string{"expired"}},
		} {
			got := x.of.reasons()
			for n := range got {
				switch {
				case n < len(x.want) && x.want[n] == "ended" && (got[n] == endLost || got[n] == endExpired):
					got[n] = "ended"
				case n < len(x.want) && x.want[n] == "expired" && (got[n] == takenStale || got[n] == taken): // the marker of the expiry may come first
					got[n] = "expired"
				}
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("%s: %v, want %v", name, got, x.want)
			}
		}
		if got := ofB.reasons(); len(got) == 0 || got[0] != taken {
			t.Errorf("b: %v", got)
		}
	})
}

// TestRebalancing: a rebalance, in which a new replica gets its share, is told apart from the
// handovers of a stop and a step down.
func TestRebalancing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := subscriptions(4)
		a := w.join("a", all...)
		w.await("a leads all", 3*time.Second, func() bool { return a.count() == 4 })
		b := w.join("b", all...)
		ofB := hear(b)
		w.await("two share", 10*time.Second, func() bool { return a.count() == 2 && b.count() == 2 })
		time.Sleep(time.Minute)
		a.StepDown()
		w.await("b leads all", 10*time.Second, func() bool { return b.count() == 4 })
		if got, want := ofB.reasons(), []string{takenRebalance, takenRebalance, taken, taken}; !slices.Equal(got, want) {
			t.Errorf("b: %v, want %v", got, want)
		}
		time.Sleep(stepDownRest)
		w.await("two share again", 10*time.Second, func() bool { return a.count() == 2 && b.count() == 2 })
		for _, subscription := range all {
			if h := b.Holding(subscription); h.Replica == "a" && h.Taken != FromMore {
				t.Errorf("a has taken %s: %q", subscription, h.Taken)
			}
		}
		ofA := hear(a)
		b.stop()
		w.await("a leads all", 10*time.Second, func() bool { return a.count() == 4 })
		if got, want := ofA.reasons(), []string{taken, taken}; !slices.Equal(got, want) {
			t.Errorf("a: %v, want %v", got, want)
		}
	})
}

// TestAStopIsNoRebalance: a stop is not a rebalance, even if the replica was told to give the lease
// away just before.
func TestAStopIsNoRebalance(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		ofB := hear(b)
		time.Sleep(5 * time.Second)
		_, dialled := a.dial() // the lease is released once it has ended
		a.electors[sub].yield(reasonRebalance)
		w.await("a's term has ended", 100*time.Millisecond, func() bool { return !a.leads(sub) })
		go a.stop()
		time.Sleep(100 * time.Millisecond)
		dialled()
		w.await("b leads", 5*time.Second, func() bool { return b.leads(sub) })
		if got, want := ofB.reasons(), []string{taken}; !slices.Equal(got, want) {
			t.Errorf("b: %v, want %v", got, want)
		}
	})
}

// TestChangesOfHolders: each change is reported once. Renewals are not.
func TestChangesOfHolders(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := &told{}
		watcher := w.join("watcher", "another")
		watcher.view.mu.Lock()
		watcher.view.changed = d.changed
		watcher.view.mu.Unlock()
		a := w.leader("a")
		time.Sleep(2 * time.Minute)
		b := w.join("b", sub)
		time.Sleep(5 * time.Second)
		a.stop()
		w.await("b leads", time.Second, func() bool { return b.leads(sub) })
		time.Sleep(2 * time.Minute)
		c := w.join("c", sub)
		time.Sleep(2 * time.Second)
		b.crash()
		w.await("c leads", ttl, func() bool { return c.leads(sub) })
		time.Sleep(time.Second)
		c.stop()
		time.Sleep(2 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		var holders []string
		for _, h := range d.holders {
			if h != "watcher" && h != "" {
				holders = append(holders, h)
			}
		}
		if !slices.Equal(d.taken[len(d.taken)-3:], []string{FromNobody, FromNobody, FromDead}) {
			t.Errorf("%q", d.taken)
		}
		if !slices.Equal(holders, []string{"a", "b", "c"}) || d.holders[len(d.holders)-1] != "" {
			t.Errorf("%q", d.holders)
		}
	})
}
