package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/sleep"
)

// Why the context of a leader's function ended.
var (
	// ErrLost means that the lease expired or another replica holds it.
	ErrLost = errors.New("the lease was lost")
	// ErrReleased means that this replica gave the lease away, because it stops,
	// steps down, is unfit, or has more than its share.
	ErrReleased = errors.New("the lease was released")
	// ErrUntrusted means that this replica can no longer be sure that it holds the lease.
	ErrUntrusted = errors.New("this replica can no longer be sure that it holds the lease")
)

// trustCheck is how often a dial checks that its term is trusted. It is well below the time
// that others need to find out that a holder is dead.
const trustCheck = 50 * time.Millisecond

// timing holds the durations that follow from the TTL.
type timing struct {
	ttl      time.Duration
	margin   time.Duration // by this much less than the TTL a term is trusted
	renewal  time.Duration // from the start of one renewal to the start of the next
	try      time.Duration // bounds the wait for one answer
	retry    time.Duration // pause between attempts
	takeover time.Duration // age at which an unchanged revision may be taken over
	silence  time.Duration // silence of the watcher after which the entry is read
	look     time.Duration // between such reads
}

// timingOf derives the timing from a TTL. The margin is for what a replica still does when
// the trust has ended: a dial takes a moment to be given up.
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

// trustedUntil is when a lease stops being trusted if the request that wrote it
// began at the given time.
func (t timing) trustedUntil(began time.Time) time.Time { return began.Add(t.ttl - t.margin) }

// Term is one term of one subscription. It is safe for concurrent use.
type Term struct {
	Subscription string
	Epoch        uint64       // revision of the lease when it was taken, or more; grows from term to term
	From         record.Lease // of the previous term, if that had not released its lease
	Released     uint64       // epoch of the previous term, if that had released its lease and said so; 0: unknown

	link      *link
	connected atomic.Bool // see SetConnected
	takenOver atomic.Bool // a later term was seen
	record    record.Lease
	renew     chan struct{} // tells the renewer to renew now

	mu       sync.Mutex
	revision uint64
	proof    proof
	dials    int           // number of dials under way
	changed  chan struct{} // closed when one of the above changes
}

// proof is a write that proved that the lease is this term's.
type proof struct {
	began  time.Time // start of the request
	until  time.Time // the term is trusted until then
	losses uint64    // of the connection to NATS, before the request
}

func (c *Candidate) newProof() proof {
	now := time.Now()
	return proof{began: now, until: c.timing.trustedUntil(now), losses: c.link.losses.Load()}
}

func newTerm(link *link, subscription string, from, record record.Lease, revision uint64, p proof) *Term {
	return &Term{
		Subscription: subscription, Epoch: record.Epoch, From: from, link: link, record: record, revision: revision, proof: p,
		renew: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// WaitTrusted waits until the term is trusted. A connection may be opened only
// while it is. It returns the context's cause if the context ends first.
func (t *Term) WaitTrusted(ctx context.Context) error {
	return t.await(ctx, t.trusted)
}

// trusted reports whether the term is trusted; the caller holds t.mu. After the
// loss of the connection to NATS that proved the term, this replica looked dead to
// the others. The wall clock also counts, on its own, because the monotonic clock
// stands still while a machine is suspended.
func (t *Term) trusted() bool {
	now := time.Now()
	slept := now.Round(0).Sub(t.proof.began.Round(0)) >= t.proof.until.Sub(t.proof.began)
	return now.Before(t.proof.until) && !slept && t.link.losses.Load() == t.proof.losses
}

// Prove waits until a write that began after the call has proven that this replica
// holds the lease. It returns the context's cause if the context ends first; the term's
// own context ends if the lease is lost.
func (t *Term) Prove(ctx context.Context) error {
	asked := time.Now()
	signal(t.renew)
	return t.await(ctx, func() bool { return !t.proof.began.Before(asked) && t.trusted() })
}

// SetConnected sets whether the term's connection to Zoom is live. While it is, and no
// later term is known, an expired lease is taken back.
func (t *Term) SetConnected(is bool) { t.connected.Store(is) }

// Permit waits until the term is trusted, and permits one dial, which lasts until done is
// called. The lease is not released before: the end of a term does not stop a dial at once,
// and one that succeeded late would displace the successor's connection. For the same reason
// permitted ends when the term is no longer trusted, with ErrUntrusted, or ends with ErrLost.
// The next holder does not wait then, so the dial must be given up at once. The error is the
// context's cause.
func (t *Term) Permit(ctx context.Context) (permitted context.Context, done func(), err error) {
	t.addDials(1) // before the look at the context, so that a term that ends sees it
	if err := t.WaitTrusted(ctx); err != nil {
		t.addDials(-1)
		return nil, nil, err
	}
	permitted, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrLost) {
			cancel(ErrLost)
		}
	})
	var watch sync.WaitGroup
	watch.Go(func() {
		for sleep.For(permitted, trustCheck) == nil {
			if !t.isTrusted() || t.TakenOver() {
				cancel(ErrUntrusted)
			}
		}
	})
	return permitted, func() {
		stop()
		cancel(nil)
		watch.Wait()
		t.addDials(-1)
	}, nil
}

func (t *Term) isTrusted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trusted()
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
// false after a term that ended with [ErrReleased], or whose lease expired without being
// taken by anyone, as far as is known.
func (t *Term) TakenOver() bool { return t.takenOver.Load() }

// await waits until a condition holds, and returns the context's cause if the context ends
// first. It calls holds with t.mu held.
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

// adopt sets the revision of our own record without a new proof.
func (t *Term) adopt(revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision = revision
}

// extend records a write as the new proof.
func (t *Term) extend(revision uint64, p proof) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision, t.proof = revision, p
	t.notify()
}

// notify wakes all waiters; the caller holds t.mu.
func (t *Term) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Term) at() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.revision
}

// signal fills a channel of capacity one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
