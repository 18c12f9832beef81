package lease

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

// TestNewsOfOthersDoesNotDelayRenewal: replicas that come and go, as in a crash loop, wake every
// elector. That must not delay renewals.
func TestNewsOfOthersDoesNotDelayRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		for n := range 30 {
			text, err := json.Marshal(record.Presence{Replica: "x", Nonce: fmt.Sprint("n", n), Leaving: true})
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

// TestReplicasWithOtherSubscriptionsDoNotCount: two apps, or two generations of one, share a
// bucket. Only replicas with the same subscription count as its standbys, and no lease moves.
func TestReplicasWithOtherSubscriptionsDoNotCount(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := subscriptions(20)
		a, b := w.join("a", all...), w.join("b", all...)
		time.Sleep(time.Minute)
		before := a.reigns() + b.reigns()
		c := w.join("c", "other", all[0])
		d := w.join("d", "other")
		time.Sleep(time.Minute)
		if moved := a.reigns() + b.reigns() - before; moved > 0 {
			t.Errorf("%d leases moved", moved)
		}
		if a.Standbys("other") != 0 || a.Standbys(all[1]) != 1 || a.Standbys(all[0]) != 2 || d.Standbys(all[1]) != 0 || c.Standbys("other") != 1 {
			t.Error("who would lead what is not known")
		}
	})
}

// TestReticenceEndsWhenTheLeaseIsTaken: in a rolling restart right after a step down, the replica
// that has just given the lease away is the only one left to take it.
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

// TestTheDeadAreRememberedHoweverManyStart: after all replicas crashed many start at once, and none
// has ever heard of the dead leader. One of them still leads soon.
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

// TestNoFightWhereNobodyCanBeAsked: if replicas cannot ask one another (because of a permission or
// a leaf node), each looks dead to the others. That costs a takeover or two, but they never fight.
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

// TestLeavingIsForGood: an announcement that a replica made before it left may arrive after its
// farewell. It must not count.
func TestLeavingIsForGood(t *testing.T) {
	p := newPeers([]string{sub})
	here := record.Presence{Nonce: "a", Subscriptions: []string{sub}}
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

// TestLeavingIsHeard: a replica that leaves closes its connection only when the server has read its
// farewell. Otherwise a farewell that is still on its way would be lost.
func TestLeavingIsHeard(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		for n := range 10 {
			b := w.join(fmt.Sprint("b", n), sub)
			w.await("a knows of it", time.Second, func() bool { return a.Standbys(sub) == 1 })
			b.link.Delay(time.Duration(n)*40*time.Millisecond, 0, 1)
			b.stop()
			time.Sleep(10 * time.Millisecond)
			if a.Standbys(sub) != 0 {
				t.Errorf("it is counted on when it has left with %v to the server", time.Duration(n)*40*time.Millisecond)
				time.Sleep(forgetAfter)
			}
		}
	})
}

// TestLeavingWithoutNATS: a replica without a connection leaves at once.
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

// TestForgedAnnouncements: anybody who may publish announcements can forge them. They are checked,
// and what is kept and logged of them is bounded.
func TestForgedAnnouncements(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		lines := &lineCount{}
		w.log = lines
		a := w.leader("a")
		b := w.join("b", sub)
		w.await("b is heard", 5*time.Second, func() bool { return a.Standbys(sub) == 1 })
		var strangers []string
		for n := range 5000 {
			strangers = append(strangers, fmt.Sprint("sub-", n, "-", strings.Repeat("x", 20)))
		}
		small, big := record.Presence{Replica: "x", Subscriptions: []string{"other"}}, record.Presence{Replica: "x", Subscriptions: strangers}
		say := func(p record.Presence) {
			text, err := json.Marshal(p)
			if err == nil {
				err = w.js.Conn().Publish(a.presenceSubject(), text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range 3 * maxPeers {
			small.Nonce = fmt.Sprint("n", n)
			say(small)
			if n%100 == 0 {
				big.Nonce = fmt.Sprint("big", n)
				say(big)
				time.Sleep(100 * time.Millisecond)
			}
		}
		for _, p := range []record.Presence{
			{Nonce: "a b", Replica: "x"}, {Nonce: ">", Replica: "x"}, {Nonce: strings.Repeat("n", 1000), Replica: "x"}, {Nonce: "n", Replica: strings.Repeat("x", 100_000)},
			{Nonce: "n", Replica: "\x1b[2J"}, {Nonce: "n"}, {Nonce: "n", Replica: "x", Subscriptions: slices.Repeat(strangers, 4)},
		} {
			say(p)
		}
		time.Sleep(100 * time.Millisecond)
		a.peers.mu.Lock()
		known, bytes := len(a.peers.all), 0
		for nonce, k := range a.peers.all {
			bytes += len(nonce) + len(k.name)
			for subscription := range k.leads {
				bytes += len(subscription)
			}
			if nonce == "n" || nonce == ">" || strings.HasPrefix(nonce, "a ") {
				t.Errorf("%q is known", nonce)
			}
		}
		a.peers.mu.Unlock()
		if known > maxPeers || bytes > 32*maxPeers {
			t.Errorf("%d others are known, by %d bytes", known, bytes)
		}
		if n := lines.Load(); n > 2*maxPeers+100 { // from both replicas
			t.Errorf("%d lines are logged", n)
		}
		if a.Standbys(sub) != 1 || !a.trusted() {
			t.Errorf("%d would take the lease of this replica", a.Standbys(sub))
		}
		time.Sleep(2 * forgetAfter) // until the forged replicas are forgotten
		c := w.join("c", sub)
		w.await("c is heard", 5*time.Second, func() bool { return a.Standbys(sub) == 2 })
		c.stop()
		b.stop()
	})
}

// lineCount counts writes; each is one log line.
type lineCount struct{ atomic.Int64 }

func (l *lineCount) Write(line []byte) (int, error) {
	l.Add(1)
	return len(line), nil
}

// TestForgedLeases: forged leases are checked, and the number kept is bounded. An invalid one
// stands for a holder that never answers. Those of other subscriptions are only shown, and their
// holders are not asked.
func TestForgedLeases(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		for n := range 2 * maxForeign {
			value := fmt.Sprintf(`{"replica":"x","nonce":"n%d","since":"2026-01-01T00:00:00Z"}`, n)
			switch n % 100 {
			case 1:
				value = `{"replica":"` + strings.Repeat("x", 100_000) + `"}`
			case 2:
				value = `{"nonce":">"}`
			}
			if err := w.js.Conn().Publish(fmt.Sprintf("$KV.%s.%sforeign-%d", a.opt.Bucket, record.LeasePrefix, n), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		a.view.mu.Lock()
		known, size := len(a.view.leases), 0
		for _, h := range a.view.leases {
			size += len(h.record.Replica) + len(h.record.Nonce)
		}
		a.view.mu.Unlock()
		a.peers.mu.Lock()
		asked := len(a.peers.all)
		a.peers.mu.Unlock()
		if known > maxForeign+1 || size > 32*known || asked > 0 {
			t.Errorf("%d leases are kept, by %d bytes, and %d replicas asked", known, size, asked)
		}
		if known < maxForeign || !a.trusted() || a.reigns() != 1 {
			t.Errorf("%d leases are known; %d terms", known, a.reigns())
		}
	})
}
