package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// rise fails the test unless each epoch is greater than the one before.
func rise(t *testing.T, what string, epochs ...uint64) {
	t.Helper()
	for n := 1; n < len(epochs); n++ {
		if epochs[n] <= epochs[n-1] {
			t.Errorf("%s: epochs %v", what, epochs)
			return
		}
	}
}

// TestEpochRisesWhenTheBucketIsDeleted deletes the bucket again and again while replicas run, so
// that revisions start at 1. The leader keeps its term. Each later term has a greater epoch,
// whether the previous leader stopped or died, and its record has that epoch at once.
func TestEpochRisesWhenTheBucketIsDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.leader("a"), w.join("b", sub)
		time.Sleep(3 * time.Minute) // many renewals, so a high revision
		epochs := []uint64{a.term().Epoch}
		for n := range 6 {
			if err := w.js.DeleteKeyValue(t.Context(), "leases"); err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				time.Sleep(ttl / 2)
			} else {
				time.Sleep(time.Minute)
			}
			if a.reigns() > 1 || !a.trusted() {
				t.Fatalf("%d terms, trusted %v", a.reigns(), a.trusted())
			}
			if n%3 == 0 {
				a.crash()
			} else {
				go a.stop()
			}
			w.await("the other one leads", ttl+2*time.Second, func() bool { return b.leads(sub) })
			epochs = append(epochs, b.term().Epoch)
			bucket, err := w.js.KeyValue(t.Context(), "leases")
			if err != nil {
				t.Fatal(err)
			}
			entry, err := bucket.Get(t.Context(), "lease."+sub)
			var r record.Lease
			if err != nil || json.Unmarshal(entry.Value(), &r) != nil || max(r.Epoch, entry.Revision()) < b.term().Epoch {
				t.Errorf("the record tells of epoch %d at revision %d, the term is %d: %v", r.Epoch, entry.Revision(), b.term().Epoch, err)
			}
			a, b = b, w.join(fmt.Sprint("c", n), sub)
			time.Sleep(5 * time.Second)
		}
		rise(t, "handed over and died", epochs...)
	})
}

// TestEpochIsAboveWhatIsKnownElsewhere: the bucket is deleted while no replica runs. A new epoch is
// greater than the one known elsewhere, unless that is too great to be real.
func TestEpochIsAboveWhatIsKnownElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		known, asked := uint64(50), 0
		w.elsewhere = func(context.Context, string) uint64 { asked++; return known }
		a := w.leader("a")
		first := a.term().Epoch
		rise(t, "a first term", known, first)
		a.stop()
		if err := w.js.DeleteKeyValue(t.Context(), "leases"); err != nil {
			t.Fatal(err)
		}
		known = first
		b := w.leader("b")
		rise(t, "a new bucket", known, b.term().Epoch)
		second := b.term().Epoch
		b.stop()
		known = message.MaxNumber
		c := w.leader("c")
		if c.term().Epoch >= message.MaxNumber {
			t.Errorf("epoch %d from what was forged", c.term().Epoch)
		}
		// If the revisions are above every epoch that this process has seen, it does not ask
		// elsewhere.
		known, asked = 0, 0
		d := w.join("d", sub)
		time.Sleep(10 * time.Minute)
		c.StepDown()
		w.await("d leads", time.Second, func() bool { return d.leads(sub) })
		rise(t, "a high revision", second, d.term().Epoch)
		if asked > 0 {
			t.Errorf("asked elsewhere %d times", asked)
		}
	})
}

// TestEpochIsAboveWhatWasTakenByHalf: one write takes a lease, and the epoch may need a second one.
// A replica that dies or is cut off between the two leaves a record without an epoch, at a low
// revision of a new bucket. The next epoch is still greater.
func TestEpochIsAboveWhatWasTakenByHalf(t *testing.T) {
	const known = 50
	t.Run("by one that died", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.elsewhere = func(context.Context, string) uint64 { return known }
			bucket, err := w.js.KeyValue(t.Context(), "leases")
			if err != nil {
				t.Fatal(err)
			}
			value, err := encode(record.Lease{Replica: "dead", Nonce: "dead", Since: time.Now()})
			if err == nil {
				_, err = bucket.Put(t.Context(), record.LeasePrefix+sub, value)
			}
			if err != nil {
				t.Fatal(err)
			}
			m := w.join("a", sub)
			w.await("it leads", ttl+2*time.Second, func() bool { return m.leads(sub) })
			rise(t, "after a half-taken lease", known, m.term().Epoch)
		})
	})
	t.Run("by itself", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			var m *member
			var joined sync.WaitGroup
			joined.Add(1)
			cut := sync.OnceFunc(func() {
				joined.Wait()
				m.link.Cut()
				time.AfterFunc(time.Second, m.link.Heal)
			})
			w.elsewhere = func(context.Context, string) uint64 { cut(); return known }
			m = w.join("a", sub)
			joined.Done()
			w.await("it leads", ttl+10*time.Second, func() bool { return m.leads(sub) })
			rise(t, "cut off between the two writes", known, m.term().Epoch)
		})
	})
}
