package lease

import (
	"fmt"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
)

// lengths of an outage of NATS: shorter than the TTL, about as long, and much longer.
var lengths = []time.Duration{time.Second, 12 * time.Second, ttl - time.Second, ttl + time.Second, 3 * ttl}

// outages are the ways in which NATS is away for all replicas: connections are reset and refused,
// or the server falls silent. unexpired: as after a restart of the server, the lease has not
// expired during the outage.
var outages = map[string]struct {
	begin     func(*pipenet.Link)
	unexpired bool
}{
	"cut": {begin: (*pipenet.Link).Cut}, "silent": {begin: (*pipenet.Link).BlackHole}, "down": {begin: (*pipenet.Link).Cut, unexpired: true},
}

// keepForEver writes the lease again without a TTL.
func (w *world) keepForEver() {
	bucket, err := w.js.KeyValue(w.t.Context(), "leases")
	if err != nil {
		w.t.Fatal(err)
	}
	entry, err := bucket.Get(w.t.Context(), "lease."+sub)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := bucket.Put(w.t.Context(), "lease."+sub, entry.Value()); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // until all have read it
}

// TestOutageMovesNoLease: a holder keeps its lease however long NATS was away, whoever finds NATS
// again first, and whatever state the lease is in by then.
func TestOutageMovesNoLease(t *testing.T) {
	for how, outage := range outages {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a := w.leader("a")
				b := w.join("b", sub)
				for n, length := range lengths {
					for _, behind := range []time.Duration{-2000, 0, 800, 2000} { // ms by which the holder is later; negative: sooner
						behind *= time.Millisecond
						time.Sleep(10*time.Second + time.Duration(n)*700*time.Millisecond) // at varying times before a renewal
						if outage.unexpired {
							w.keepForEver()
						}
						outage.begin(a.link)
						outage.begin(b.link)
						time.Sleep(length)
						first, second := a.link, b.link
						if behind > 0 {
							first, second = second, first
						}
						first.Heal()
						time.Sleep(behind.Abs())
						second.Heal()
						time.Sleep(8 * time.Second)
						if a.reigns() != 1 || b.reigns() != 0 || !a.trusted() {
							t.Fatalf("after %s, and the holder %s later than the other one: %d and %d terms, trusted %v", length, behind, a.reigns(), b.reigns(), a.trusted())
						}
					}
				}
			})
		})
	}
}

// TestOutageSharesNothing: no lease is given away while the other replicas fall silent one by one.
// A replica leads two subscriptions: among four replicas it has none to spare, but among the last
// two it would have one.
func TestOutageSharesNothing(t *testing.T) {
	for how, outage := range outages {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				subscriptions := []string{sub, "sub-2"}
				a := w.join("a", subscriptions...)
				w.await("it leads both", ttl, func() bool { return a.reigns() == 2 })
				links := []*pipenet.Link{a.link}
				var others []*member
				for n := range 3 {
					time.Sleep(290 * time.Millisecond) // so that each announces itself at a different time
					others = append(others, w.join(fmt.Sprint("b", n), subscriptions...))
					links = append(links, others[n].link)
				}
				for n, length := range lengths {
					time.Sleep(10 * time.Second)
					for _, link := range links {
						outage.begin(link)
					}
					time.Sleep(length)
					for i := range links { // one by one, with the leader at each position in turn
						links[(i+n)%len(links)].Heal()
						time.Sleep(700 * time.Millisecond)
					}
					time.Sleep(8 * time.Second)
					if a.reigns() != 2 || !a.leads(sub) || !a.leads("sub-2") {
						t.Fatalf("after %s: %d terms of the one that led both", length, a.reigns())
					}
				}
			})
		})
	}
}

// TestDeathInAnOutageIsFoundAfterIt: a replica that died in an outage is replaced soon after it.
// The others wait for it only from the moment when they have found NATS again.
func TestDeathInAnOutageIsFoundAfterIt(t *testing.T) {
	for how, outage := range outages {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a, b := w.leader("a"), w.join("b", sub)
				for n, length := range lengths {
					time.Sleep(10 * time.Second)
					if outage.unexpired {
						w.keepForEver()
					}
					outage.begin(a.link)
					outage.begin(b.link)
					time.Sleep(length / 2)
					a.crash()
					time.Sleep(length / 2)
					b.link.Heal()
					took := w.await("the other one leads", ttl+time.Second, func() bool { return b.leads(sub) })
					const back = 2 * time.Second // after a silence, the connection may only now turn out to be dead
					if took > back+quietPeriod+time.Second {
						t.Errorf("after %s: taken %s after NATS was back", length, took)
					}
					a, b = b, w.join(fmt.Sprint("c", n), sub)
				}
			})
		})
	}
}
