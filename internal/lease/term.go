package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/sleep"
)

// Why the context of a leader's function ended.
var (
	// ErrLost says that the lease expired or another replica holds it.
	ErrLost = errors.New("the lease was lost")
	// ErrReleased says that this replica gave the lease away, because it
	// stops, steps down, or has more than its share.
	ErrReleased = errors.New("the lease was released")
	// ErrUntrusted says that this replica does not know any more that it holds the lease.
	ErrUntrusted = errors.New("it is not known any more that this replica holds the lease")
)

// trustCheck is how often a dial looks whether its term is trusted: well within the time that
// others need to find out that a holder is dead.
const trustCheck = 50 * time.Millisecond

// timing is what follows from the TTL.
type timing struct {
	ttl      time.Duration
	margin   time.Duration // a term is trusted for less than the TTL by this
	renewal  time.Duration // from the start of one to the start of the next
	try      time.Duration // longest wait for one answer
	retry    time.Duration // pause between tries
	takeover time.Duration // after which an unchanged revision is up for grabs
	silence  time.Duration // of the watcher, after which it is not relied upon
	look     time.Duration // between reads while it is silent
}

// timingOf derives them. Between a holder's last trust and the lease's end lies
// the margin: in it falls what a dial takes that was begun in time.
func timingOf(ttl time.Duration) timing {
	return timing{
		ttl:      ttl,
		margin:   min(ttl/5, 2*time.Second),
		renewal:  ttl / 3,
		try:      min(ttl/6, 2*time.Second),
		retry:    250 * time.Millisecond,
		takeover: ttl + min(ttl/6, 500*time.Millisecond),
		silence:  ttl/3 + time.Second,
		look:     min(ttl/5, time.Second),
	}
}

// trustedUntil is when a lease stops being trusted that was written by a
// request begun at the given time.
func (t timing) trustedUntil(began time.Time) time.Time { return began.Add(t.ttl - t.margin) }

// Term is one leadership of one subscription. It is safe for concurrent use.
type Term struct {
	Subscription string
	Epoch        uint64       // revision of the lease when it was taken, or more; grows from term to term
	From         record.Lease // of the term that it was taken from, if that did not release it

	nc        *nats.Conn
	connected atomic.Bool // what it is for is connected, and was all the time
	takenOver atomic.Bool // a later term was seen
	record    record.Lease
	renew     chan struct{} // to the renewer: now

	mu       sync.Mutex
	revision uint64
	proof    proof
	dials    int           // under way
	changed  chan struct{} // closed when one of the above has changed
}

// proof is a write that showed that the lease is this term's.
type proof struct {
	began      time.Time // the request
	until      time.Time // trusted until then
	reconnects uint64    // of the connection to NATS, before the request
}

func (c *Candidate) newProof() proof {
	now := time.Now()
	return proof{began: now, until: c.timing.trustedUntil(now), reconnects: c.nc.Stats().Reconnects}
}

func newTerm(nc *nats.Conn, subscription string, from, record record.Lease, revision uint64, p proof) *Term {
	return &Term{
		Subscription: subscription, Epoch: record.Epoch, From: from, nc: nc, record: record, revision: revision, proof: p,
		renew: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// WaitTrusted waits until the term is trusted: as long as that lasts, and no
// longer, a connection may be opened. It returns the context's cause if that
// ends before.
func (t *Term) WaitTrusted(ctx context.Context) error {
	return t.await(ctx, t.trusted)
}

// trusted expects the caller to hold t.mu. Without the connection to NATS by
// which it was proven, this replica has looked dead to the others. The monotonic
// clock stands still while a machine is suspended; its own wall clock does not.
func (t *Term) trusted() bool {
	now := time.Now()
	slept := now.Round(0).Sub(t.proof.began.Round(0)) >= t.proof.until.Sub(t.proof.began)
	return now.Before(t.proof.until) && !slept && t.nc.IsConnected() && t.nc.Stats().Reconnects == t.proof.reconnects
}

// Prove waits until a write that began after the call has shown that this
// replica holds the lease. The term's own context ends if it does not.
func (t *Term) Prove(ctx context.Context) error {
	asked := time.Now()
	signal(t.renew)
	return t.await(ctx, func() bool { return !t.proof.began.Before(asked) && t.trusted() })
}

// SetConnected notes whether what the term is for is connected. As long as it is, and no
// later term is known, a lease that has expired is taken back.
func (t *Term) SetConnected(is bool) { t.connected.Store(is) }

// Permit waits until the term is trusted, and permits one dial, which ends with the call of
// done. Until then the lease is not released: the end of a term does not stop a dial at once,
// and one that succeeds late would displace the successor's connection. For the same reason
// permitted ends, with ErrUntrusted, when the term is trusted no longer: the next holder waits
// for nobody then, so the dial is to be given up at once. The error is the context's cause.
func (t *Term) Permit(ctx context.Context) (permitted context.Context, done func(), err error) {
	t.addDials(1) // before the look at the context, so that a term that ends sees it
	if err := t.WaitTrusted(ctx); err != nil {
		t.addDials(-1)
		return nil, nil, err
	}
	permitted, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() {
		for sleep.For(permitted, trustCheck) == nil {
			if !t.isTrusted() {
				cancel(ErrUntrusted)
			}
		}
	})
	return permitted, func() {
		cancel(nil)
		watch.Wait()
		t.addDials(-1)
	}, nil
}

func (t *Term) isTrusted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trusted() && !t.TakenOver()
}

func (t *Term) addDials(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dials += n
	t.notify()
}

// waitDialled waits until no dial is under way.
func (t *Term) waitDialled(ctx context.Context) {
	t.await(ctx, func() bool { return t.dials == 0 }) //nolint:errcheck // the context is a bound
}

// TakenOver reports whether a later term was seen, of this replica or another one. It is
// false after a term that ended with [ErrReleased], or that expired and that nobody took
// the lease from, as far as is known.
func (t *Term) TakenOver() bool { return t.takenOver.Load() }

// await waits until a condition holds, which is asked with t.mu held.
func (t *Term) await(ctx context.Context, holds func() bool) error {
	for {
		t.mu.Lock()
		ok, changed := holds(), t.changed
		t.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// adopt takes over the revision of our own record that proves nothing new.
func (t *Term) adopt(revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision = revision
}

// extend notes that a write was made.
func (t *Term) extend(revision uint64, p proof) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision, t.proof = revision, p
	t.notify()
}

// notify expects the caller to hold t.mu.
func (t *Term) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Term) at() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.revision
}

// signal fills a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
