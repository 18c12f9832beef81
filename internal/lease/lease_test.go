package lease

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/record"
)

func TestReleasedLeaseIsTakenAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(5 * time.Minute)
		if !a.leads(sub) || b.leads(sub) || !a.trusted() || a.reigns() != 1 {
			t.Fatal("the lease moved without a reason")
		}
		epoch := a.term().Epoch
		go a.stop()
		if took := w.await("b leads", time.Second, func() bool { return b.leads(sub) }); took > 100*time.Millisecond {
			t.Errorf("taken after %s", took)
		}
		if b.term().Epoch <= epoch {
			t.Errorf("epoch %d after %d", b.term().Epoch, epoch)
		}
		a.stop()
		if !errors.Is(a.cause(), ErrReleased) {
			t.Errorf("a's term ended by %v", a.cause())
		}
	})
}

func TestDeadHolderIsReplacedWithinASecond(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.join("a", sub), (*member)(nil)
		w.await("a leads", time.Second, func() bool { return a.leads(sub) })
		b = w.join("b", sub)
		for range 20 {
			time.Sleep(11*time.Second + rand.N(time.Second))
			a.crash()
			if took := w.await("b leads", 2*time.Second, func() bool { return b.leads(sub) }); took > 800*time.Millisecond {
				t.Errorf("taken after %s", took)
			}
			a, b = b, w.join("again", sub)
		}
	})
}

// TestLostHostIsReplacedAfterTheTTL: a host is lost without a closed connection. Nobody can tell
// that from a silence, so its lease has to expire. By then its holder no longer trusts its term.
func TestLostHostIsReplacedAfterTheTTL(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		for range 10 {
			time.Sleep(7*time.Second + rand.N(5*time.Second))
			a.link.BlackHole()
			began := time.Now()
			w.await("b leads", ttl+time.Second, func() bool { return b.leads(sub) })
			if took := time.Since(began); took < ttl*2/3-time.Second {
				t.Errorf("taken after %s from a holder that lived", took)
			}
			if a.trusted() {
				t.Error("two trusted terms")
			}
			a.link.Heal()
			w.await("a knows", 40*time.Second, func() bool { return !a.leads(sub) })
			if last := a.cause(); !errors.Is(last, ErrLost) {
				t.Errorf("a's term ended by %v", last)
			}
			time.Sleep(10 * time.Second)
			if !b.leads(sub) || !b.trusted() {
				t.Error("b leads no more")
			}
			a, b = b, a
		}
	})
}

// TestSlowAnswerDoesNotExtendTrust: trust counts from before the request was sent.
func TestSlowAnswerDoesNotExtendTrust(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		a.link.Delay(900*time.Millisecond, 0, 1)
		time.Sleep(ttl)
		asked := time.Now()
		if err := a.term().Prove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if time.Since(asked) < time.Second {
			t.Fatalf("an answer after %s is not slow", time.Since(asked))
		}
		term := a.term()
		term.mu.Lock()
		defer term.mu.Unlock()
		if p := term.proof; p.began.Before(asked) || p.until.After(p.began.Add(ttl-2*time.Second)) || time.Since(p.began) < time.Second {
			t.Errorf("proven %s after it was asked, trusted for %s", p.began.Sub(asked), p.until.Sub(p.began))
		}
	})
}

// TestLostAnswerIsNoLoss: a renewal succeeds, but its answer is lost. The holder keeps the lease.
func TestLostAnswerIsNoLoss(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		for range 10 {
			time.Sleep(time.Second)
			a.link.Delay(200*time.Millisecond, 0, 1)
			signal(a.term().renew)
			time.Sleep(300 * time.Millisecond) // written, with the answer on its way
			a.link.Reset()
			a.link.Delay(0, 0, 1)
			time.Sleep(4 * time.Second)
		}
		time.Sleep(time.Minute)
		if !a.leads(sub) || !a.trusted() || a.reigns() != 1 || b.leads(sub) {
			t.Error("a holder that renewed in time lost its lease")
		}
	})
}

// TestExpiredLeaseEndsTheTerm: NATS is away for longer than the TTL. While it is cut off, a term is
// neither trusted nor lost. It ends when its record turns out to have expired, and the next term
// has a greater epoch.
func TestExpiredLeaseEndsTheTerm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		time.Sleep(time.Minute)
		first := a.term()
		first.SetConnected(false)
		a.link.Cut()
		time.Sleep(2 * ttl)
		if a.trusted() || !a.leads(sub) {
			t.Fatal("cut off, a term is not trusted, and not lost")
		}
		trusted := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { trusted <- first.WaitTrusted(ctx) }()
		if err := <-trusted; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("trusted while cut off: %v", err)
		}
		a.link.Heal()
		w.await("a leads anew", 5*time.Second, func() bool { return a.reigns() == 2 && a.trusted() })
		if a.term().Epoch <= first.Epoch || !errors.Is(a.cause(), ErrLost) || first.TakenOver() {
			t.Errorf("epoch %d after %d, %v, taken over %t", a.term().Epoch, first.Epoch, a.cause(), first.TakenOver())
		}
	})
}

// TestExpiredLeaseIsTakenBackWhileConnected: as long as the holder is connected to Zoom, nobody
// else has been, so its term goes on after its lease has expired. Others that were cut off too, and
// come back first, give it a moment.
func TestExpiredLeaseIsTakenBackWhileConnected(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(time.Minute)
		for range 5 {
			a.link.Cut()
			b.link.Cut()
			time.Sleep(2 * ttl)
			b.link.Heal()
			time.Sleep(time.Second)
			a.link.Heal()
			time.Sleep(10 * time.Second)
			if a.reigns() != 1 || !a.trusted() || b.reigns() != 0 {
				t.Fatalf("%d and %d terms", a.reigns(), b.reigns())
			}
		}
		a.link.Cut()
		b.link.Cut()
		time.Sleep(2 * ttl)
		b.link.Heal() // only b comes back, and the moment passes
		w.await("b leads", 5*time.Second, func() bool { return b.leads(sub) })
		lost := a.term()
		if lost.TakenOver() {
			t.Error("nobody can have told a")
		}
		a.link.Heal()
		w.await("a does not lead", 5*time.Second, func() bool { return !a.leads(sub) })
		if !lost.TakenOver() {
			t.Error("a does not know that b leads")
		}
	})
}

// TestExpiredLeaseIsNotTakenBackFromALaterTerm: the holder is cut off, and another replica leads
// until it is cut off too and its lease has expired. The first one comes back first, and its
// connection looked live all the time, as behind a black hole. It must not continue its term,
// because the other's was later.
func TestExpiredLeaseIsNotTakenBackFromALaterTerm(t *testing.T) {
	for name, unread := range map[string]int{"the record can be read": 0, "not at once": 5} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				var later atomic.Uint64
				var failures atomic.Int64
				w.recorded = func(context.Context, string) (uint64, error) {
					if failures.Add(-1) >= 0 {
						return 0, errors.New("no leader")
					}
					return later.Load(), nil
				}
				a := w.leader("a")
				b := w.join("b", sub)
				time.Sleep(time.Minute)
				a.link.Cut()
				w.await("the other one leads", 2*ttl, func() bool { return b.leads(sub) })
				later.Store(b.term().Epoch)
				time.Sleep(5 * time.Second)
				b.link.Cut()
				time.Sleep(2 * ttl)
				failures.Store(int64(unread))
				a.link.Heal()
				w.await("the first one leads anew", ttl, func() bool { return a.reigns() == 2 && a.trusted() })
				rise(t, "a, b, a", a.terms[0].Epoch, later.Load(), a.terms[1].Epoch)
				b.link.Heal()
				time.Sleep(ttl)
				if !a.leads(sub) || b.leads(sub) {
					t.Error("the lease moved again")
				}
			})
		})
	}
}

// TestElectionInTheClusterIsNoLoss: an outage of NATS as short as a cluster's election of a leader
// moves no lease.
func TestElectionInTheClusterIsNoLoss(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		for range 10 {
			time.Sleep(10*time.Second + rand.N(5*time.Second))
			a.link.Cut()
			b.link.Cut()
			time.Sleep(8 * time.Second)
			if b.leads(sub) {
				t.Fatal("the lease moved")
			}
			b.link.Heal()
			time.Sleep(rand.N(time.Second))
			a.link.Heal()
		}
		time.Sleep(10 * time.Second)
		if a.reigns() != 1 || !a.trusted() || b.reigns() != 0 {
			t.Error("the lease moved")
		}
	})
}

// TestSilentWatcherIsNotReliedUpon: a follower's watcher goes away, as it does when its NATS node
// dies. The follower does not take the silence for a death, and still takes over.
func TestSilentWatcherIsNotReliedUpon(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(time.Minute)
		stream, err := w.js.Stream(t.Context(), "KV_leases")
		if err != nil {
			t.Fatal(err)
		}
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if err := stream.DeleteConsumer(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if b.leads(sub) {
			t.Fatal("silence was taken for death")
		}
		a.link.BlackHole()
		w.await("b leads", ttl+time.Second, func() bool { return b.leads(sub) })
	})
}

// TestCutOffHolderTrustsNothing: a holder whose connection to NATS is gone looks dead, so another
// one leads long before the lease expires. The first one does not trust its term.
func TestCutOffHolderTrustsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(time.Minute)
		a.link.Cut()
		w.await("b leads", time.Second, func() bool { return b.leads(sub) })
		if a.trusted() {
			t.Error("two trusted terms")
		}
		a.link.Heal()
		w.await("a knows", 2*time.Second, func() bool { return !a.leads(sub) })
		// After a reconnection, a lone leader trusts its term again once it has proven its lease
		// anew.
		a.crash()
		time.Sleep(time.Minute)
		b.link.Reset()
		time.Sleep(time.Microsecond)
		if b.trusted() {
			t.Error("trusted without a proof")
		}
		time.Sleep(time.Second)
		if !b.trusted() || b.reigns() != 1 {
			t.Error("not trusted after a reconnection")
		}
	})
}

// TestUnchangedLeaseIsTakenAfterTheTTL: the holder is lost, and the server does not expire its
// lease (after an update without a TTL, or while its stream has no leader).
func TestUnchangedLeaseIsTakenAfterTheTTL(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(7 * time.Second)
		a.link.BlackHole()
		bucket, err := w.js.KeyValue(t.Context(), "leases")
		if err != nil {
			t.Fatal(err)
		}
		entry, err := bucket.Get(t.Context(), "lease."+sub)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.Put(t.Context(), "lease."+sub, entry.Value()); err != nil {
			t.Fatal(err)
		}
		w.await("b leads", ttl+time.Second, func() bool { return b.leads(sub) })
	})
}

func TestStepDownLeavesTheLeaseToOthers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(5 * time.Second)
		a.StepDown()
		w.await("b leads", 100*time.Millisecond, func() bool { return b.leads(sub) && !a.leads(sub) })
		// It goes back at once, although the first one has just given it away.
		time.Sleep(5 * time.Second)
		b.StepDown()
		w.await("a leads", 100*time.Millisecond, func() bool { return a.leads(sub) && !b.leads(sub) })
		time.Sleep(5 * time.Second)
		a.StepDown()
		w.await("b leads", 100*time.Millisecond, func() bool { return b.leads(sub) && !a.leads(sub) })
		// A replica that has just given the lease away still replaces a dead one at once.
		time.Sleep(5 * time.Second)
		b.crash()
		if took := w.await("a leads", 2*time.Second, func() bool { return a.leads(sub) }); took > time.Second {
			t.Errorf("taken after %s", took)
		}
		// If nobody else is there, it takes the lease back.
		time.Sleep(10 * time.Second)
		a.StepDown()
		time.Sleep(10 * time.Second)
		if !a.leads(sub) {
			t.Error("nobody leads")
		}
	})
}

// TestLeaseIsNotReleasedDuringADial: a dial may go on for a moment after its term has ended. If it
// succeeded after the successor's dial, it would displace the successor's connection.
func TestLeaseIsNotReleasedDuringADial(t *testing.T) {
	for name, release := range map[string]func(*member){"step-down": func(m *member) { m.StepDown() }, "stop": func(m *member) { go m.stop() }} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a := w.leader("a")
				b := w.join("b", sub)
				time.Sleep(5 * time.Second)
				_, first := a.dial()
				_, second := a.dial()
				release(a)
				w.await("a's term has ended", 100*time.Millisecond, func() bool { return !a.leads(sub) })
				first()
				time.Sleep(2 * time.Second)
				if b.leads(sub) {
					t.Error("b leads while a dials")
				}
				second()
				w.await("b leads", 100*time.Millisecond, func() bool { return b.leads(sub) })
				// A dial that never ends, against all expectation, does not keep the lease.
				_, never := b.dial()
				t.Cleanup(never)
				b.StepDown()
				if name == "stop" {
					return // nobody is left to lead
				}
				w.await("a leads", ttl+2*time.Second, func() bool { return a.leads(sub) })
			})
		})
	}
}

// TestDialIsGivenUpWithTheTrust: a dial ends when its term is no longer trusted. Otherwise it could
// succeed after the next holder's dial, and displace its connection.
func TestDialIsGivenUpWithTheTrust(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(w *world, a *member)
		want error
	}{
		"cut":        {func(_ *world, a *member) { a.link.Cut() }, ErrUntrusted},
		"black hole": {func(_ *world, a *member) { a.link.BlackHole() }, ErrUntrusted},
		"deleted": {func(w *world, _ *member) {
			if stream, err := w.js.Stream(w.t.Context(), "KV_leases"); err != nil || stream.Purge(w.t.Context()) != nil {
				w.t.Error("the leases cannot be deleted")
			}
		}, ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a := w.leader("a")
				b := w.join("b", sub)
				time.Sleep(5 * time.Second)
				a.term().SetConnected(false)
				dial, done := a.dial()
				t.Cleanup(done)
				time.Sleep(2 * ttl)
				if dial.Err() != nil {
					t.Fatalf("given up though the term is trusted: %v", context.Cause(dial))
				}
				c.lose(w, a)
				w.await("somebody leads anew", 3*ttl, func() bool { return b.leads(sub) || a.reigns() > 1 })
				if !errors.Is(context.Cause(dial), c.want) {
					t.Errorf("the next term has begun, and the dial ended with %v", context.Cause(dial))
				}
			})
		})
	}
}

func TestSharesAreEven(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := subscriptions(60)
		even := func(members ...*member) func() bool {
			return func() bool {
				sum := 0
				for _, m := range members {
					n := m.count()
					sum += n
					if n < 45/len(members) || n > 75/len(members)+1 {
						return false
					}
				}
				return sum == 60
			}
		}
		a, b, c := w.join("a", all...), w.join("b", all...), w.join("c", all...)
		w.await("all are led", 3*time.Second, func() bool { return a.count()+b.count()+c.count() == 60 })
		w.await("20 each", 5*time.Second, even(a, b, c))
		time.Sleep(10 * time.Second)
		before := a.reigns() + b.reigns() + c.reigns()
		time.Sleep(time.Minute)
		if after := a.reigns() + b.reigns() + c.reigns(); after != before {
			t.Errorf("%d leases moved without a reason", after-before)
		}
		a.stop()
		w.await("30 each", 2*time.Second, even(b, c))
		a = w.join("a", all...)
		w.await("20 each after a joined", 10*time.Second, even(a, b, c))
		c.crash()
		w.await("30 each after a crash", 5*time.Second, even(a, b))
	})
}

func TestBucketThatIsGoneIsMadeAnew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(time.Minute)
		if err := w.js.DeleteKeyValue(t.Context(), "leases"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl / 2)
		if a.leads(sub) == b.leads(sub) || a.reigns()+b.reigns() > 2 {
			t.Error("not one leads by a new bucket")
		}
	})
}

func TestRecordsAndQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		b := w.join("b", sub)
		time.Sleep(ttl)
		bucket, err := w.js.KeyValue(t.Context(), "leases")
		if err != nil {
			t.Fatal(err)
		}
		entry, err := bucket.Get(t.Context(), "lease."+sub)
		var r record.Lease
		if err != nil || json.Unmarshal(entry.Value(), &r) != nil || r.Replica != "a" || r.Nonce != a.Nonce() || r.Epoch != a.term().Epoch || r.PID == 0 || r.Host == "" {
			t.Errorf("%+v: %v", r, err)
		}
		if b.Standbys(sub) != 1 || a.Standbys(sub) != 1 || time.Since(b.SafeUntil(a.Nonce())) > time.Second {
			t.Error("they do not know each other")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, m := range []*member{a, b} {
			if answer, err := m.Ask(ctx, a.Nonce(), "x 1"); err != nil || string(answer) != "a on x 1" {
				t.Errorf("%q: %v", answer, err)
			}
		}
		if _, err := b.Ask(ctx, "nobody", "x 1"); !errors.Is(err, ErrGone) {
			t.Error(err)
		}
		// An invalid record holds the lease until it has not changed for a TTL.
		a.stop()
		w.await("b leads", time.Second, func() bool { return b.leads(sub) })
		msg := nats.NewMsg("$KV.leases.lease." + sub)
		msg.Data = []byte("junk")
		if _, err := w.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		w.await("b has lost", time.Second, func() bool { return !b.leads(sub) })
		w.await("b leads again", ttl+2*time.Second, func() bool { return b.leads(sub) })
	})
}
