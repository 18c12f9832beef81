package lease

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/sleep"
)

// releaseTimeout bounds a release. If the release fails, the lease expires by its TTL.
const releaseTimeout = 2 * time.Second

// lead runs the leader's function for one term and returns its error.
func (e *elector) lead(ctx context.Context, t *Term, f func(context.Context, *Term) error) error {
	// The function's context ends with the term, not with ctx: first the lease is released.
	leading, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	select {
	case <-e.release: // meant for the previous term
	default:
	}
	e.leading.Store(t)
	defer e.leading.Store(nil)
	if e.yielded.Swap(false) {
		e.c.shedFailed()
	}

	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	lost, returned := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(lost)
		e.renew(renewing, t)
	}()
	go func() { returned <- f(leading, t) }()

	told, reason := false, reasonNone // whether and why to give the lease away
	select {
	case <-lost:
		if h := e.c.view.get(e.subscription); h.held {
			e.log.Warn().Str("code", "lease.lost").Uint64("epoch", t.Epoch).Str("to", h.record.Replica).Msg("lease lost to another replica")
			e.transition(endLost)
		} else {
			e.log.Warn().Str("code", "lease.expired").Uint64("epoch", t.Epoch).Msg("lease expired; it could not be renewed in time")
			e.transition(endExpired)
		}
		end(ErrLost)
		return <-returned
	case err := <-returned:
		stop()
		<-lost
		e.releaseLease(t, reasonNone)
		return err
	case reason = <-e.release:
		told = true
	case <-ctx.Done():
	}
	end(ErrReleased)
	e.awaitDialled(t)
	if ctx.Err() != nil {
		reason = reasonNone // the replica stops, whatever it was told before
	}
	if told {
		e.reticent = time.Now().Add(stepDownPause)
	}
	stop()
	<-lost
	e.releaseLease(t, reason)
	return <-returned
}

// awaitDialled waits until no dial of an ended term is under way. No new one begins, since
// Permit checks the context after it has counted the dial.
func (e *elector) awaitDialled(t *Term) {
	ctx, cancel := context.WithTimeout(context.Background(), e.c.timing.ttl) // in case a dial never ends, which is not expected
	defer cancel()
	t.waitDialled(ctx)
}

// renew keeps the lease until the context ends. It returns early if the lease is lost.
func (e *elector) renew(ctx context.Context, t *Term) {
	due := time.NewTimer(e.c.timing.renewal)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-t.renew:
		case <-e.wake:
			if h := e.c.view.get(e.subscription); h.held && sameTerm(h.record, t.record) {
				continue // our own write, or nothing new: the next renewal stays due when it was
			}
		case <-ctx.Done():
			return
		}
		next, kept := e.renewOnce(ctx, t)
		if !kept {
			return
		}
		due.Reset(next)
	}
}

// renewOnce renews the lease once. It returns when to renew next, and false if the lease is
// lost.
func (e *elector) renewOnce(ctx context.Context, t *Term) (next time.Duration, kept bool) {
	p := e.c.newProof()
	revision, err := e.write(ctx, t.record, t.at())
	if err == nil {
		t.extend(revision, p)
		spread := rand.N(e.c.timing.renewal / 10) // or all leases would renew in step after a reconnection
		return e.c.timing.renewal - spread - time.Since(p.began), true
	}
	if ctx.Err() != nil {
		return 0, true
	}
	found, unread := e.read(ctx)
	later := found.held && !sameTerm(found.record, t.record)
	if unread == nil && !found.held {
		later, unread = e.laterTerm(ctx, t)
		if !t.connected.Load() {
			unread = nil // the term ends in any case
		}
	}
	switch {
	case unread != nil:
		e.log.Debug().Str("code", "lease.unproven").Err(err).Msg("lease not renewed; trying again")
		return e.c.timing.retry, true
	case later:
		t.takenOver.Store(true)
		return 0, false
	case !found.held && !t.connected.Load():
		return 0, false
	case found.revision == t.at(): // the write was not made
		return e.c.timing.retry, true
	}
	t.adopt(found.revision) // the next write at this revision proves the lease, or takes it back
	return 0, true
}

// laterTerm reports whether there was a later term, whose lease has also expired. Its
// connection may have displaced this term's, which may still look live for a while.
func (e *elector) laterTerm(ctx context.Context, t *Term) (bool, error) {
	if e.c.opt.Recorded == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.c.timing.try)
	defer cancel()
	epoch, err := e.c.opt.Recorded(ctx, e.subscription)
	return epoch > t.Epoch, err
}

// releaseLease removes the lease if it is still this term's.
func (e *elector) releaseLease(t *Term, reason string) {
	e.transition(endReleased)
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		try, done := context.WithTimeout(ctx, e.c.timing.try)
		revision, err := e.c.bucket.Purge(try, e.key, t.at(), kv.Purge{Reason: reason, Epoch: t.Epoch})
		done()
		if err == nil {
			e.c.view.watched(e.subscription, kv.Entry{Revision: revision, Purge: kv.Purge{Epoch: t.Epoch}})
			e.log.Info().Str("code", "lease.released").Uint64("epoch", t.Epoch).Msg("lease released")
			return
		}
		found, unread := e.read(ctx)
		switch {
		case unread != nil:
			last = err
			sleep.For(ctx, e.c.timing.retry) //nolint:errcheck // the loop looks
		case !found.held || !sameTerm(found.record, t.record):
			return
		default:
			t.adopt(found.revision)
		}
	}
	e.log.Warn().Str("code", "lease.unreleased").Err(last).Msg("lease not released; it expires by itself")
}
