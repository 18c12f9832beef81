package lease

import (
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

// TestUnfitReplica: an unfit replica is in nobody's way, and leads if nobody else is there.
func TestUnfitReplica(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.leader("a")
		a.SetFitness(record.Fit)
		b := w.join("b", sub)
		b.SetFitness(record.Unfit)
		w.await("they know it", time.Second, func() bool { return a.Standbys(sub) == 0 && b.Standbys(sub) == 1 && b.FitOther(sub) })
		time.Sleep(time.Minute)
		if !a.leads(sub) || a.reigns() != 1 {
			t.Error("the fit one did not go on leading")
		}

		a.crash()
		w.await("the unfit one leads when nobody else is there", ttl, func() bool { return b.leads(sub) })
		c := w.join("c", sub)
		time.Sleep(time.Minute)
		if !b.leads(sub) {
			t.Error("an unfit one gives the lease to one that nobody knows to be fit")
		}
		c.SetFitness(record.Fit)
		w.await("the fit one leads", 3*time.Second, func() bool { return c.leads(sub) })
		time.Sleep(time.Minute)
		if b.reigns() != 1 || c.reigns() != 1 {
			t.Errorf("%d and %d terms: the lease goes back and forth", b.reigns(), c.reigns())
		}

		// The leader becomes unfit, then every replica. They do not pass the lease around.
		b.SetFitness(record.Fit)
		c.SetFitness(record.Unfit)
		w.await("it is handed over", 3*time.Second, func() bool { return b.leads(sub) })
		b.SetFitness(record.Unfit)
		time.Sleep(time.Minute)
		if b.reigns() != 2 || c.reigns() != 1 || !b.leads(sub) {
			t.Errorf("%d and %d terms: the unfit pass the lease around", b.reigns(), c.reigns())
		}
		b.stop()
		w.await("the other unfit one leads", 2*time.Second, func() bool { return c.leads(sub) })
	})
}

// TestFitOnesShare: fit replicas share an unfit one's subscriptions evenly, and it takes none back
// until it is fit.
func TestFitOnesShare(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := subscriptions(12)
		a := w.join("a", all...)
		w.await("a leads all", 3*time.Second, func() bool { return a.count() == 12 })
		a.SetFitness(record.Unfit)
		b, c := w.join("b", all...), w.join("c", all...)
		b.SetFitness(record.Fit)
		c.SetFitness(record.Fit)
		w.await("b and c share", 10*time.Second, func() bool { return b.count() == 6 && c.count() == 6 })
		time.Sleep(time.Minute)
		if a.count() != 0 || b.count() != 6 || c.count() != 6 {
			t.Errorf("%d, %d and %d", a.count(), b.count(), c.count())
		}
		a.SetFitness(record.Fit)
		w.await("three share", 10*time.Second, func() bool { return a.count() == 4 && b.count() == 4 && c.count() == 4 })
	})
}
