package lease

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// elector campaigns for one subscription.
type elector struct {
	c            *Candidate
	subscription string
	key          string
	wake         <-chan struct{} // gets a value when the known lease changes
	release      chan string     // asks to give the lease away, for a reason
	leading      atomic.Pointer[Term]
	log          zerolog.Logger

	yielded  atomic.Bool // it was asked to give the lease away, and nobody has taken it yet
	reticent time.Time   // until then it lets others take a free lease; only for run
	leader   string      // nonce of the leader last logged by logStandby; only for run
}

// run alternates between following and leading until the context ends or a
// leader's function fails.
func (e *elector) run(ctx context.Context, lead func(context.Context, *Term) error) error {
	for {
		term := e.follow(ctx)
		if term == nil {
			return nil
		}
		if ctx.Err() != nil { // the context ended while the lease was taken
			e.releaseLease(term, reasonNone)
			return nil
		}
		if err := e.lead(ctx, term, lead); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// move is what a follower does next.
type move int

const (
	moveStay move = iota // wait
	moveLook             // read the lease
	moveTake             // try to take it
)

// follow returns a term, or nil when the context ends.
func (e *elector) follow(ctx context.Context) *Term {
	for ctx.Err() == nil {
		e.c.startQuietAfterReconnect()
		h := e.c.view.get(e.subscription)
		e.logStandby(h)
		next, wait := e.next(h, time.Now())
		switch next {
		case moveTake:
			if e.c.pace(h).Wait(ctx) != nil {
				return nil
			}
			e.c.startQuietAfterReconnect()
			h = e.c.view.get(e.subscription)
			next, _ := e.next(h, time.Now())
			if next == moveLook { // what was read before the wait is outdated
				if found, err := e.read(ctx); err == nil {
					h = found
					next, _ = e.next(h, time.Now())
				}
			}
			if next != moveTake {
				continue // somebody was faster, or this replica now has its share
			}
			if term := e.take(ctx, h); term != nil {
				e.leader = ""
				return term
			}
			wait = e.c.timing.retry/5 + rand.N(e.c.timing.retry/5)
		case moveLook:
			found, err := e.read(ctx)
			switch {
			case err != nil:
				e.log.Debug().Str("code", "lease.unread").Err(err).Msg("lease not read")
				wait = e.c.timing.retry + rand.N(e.c.timing.retry)
			case found != h:
				continue
			default: // the watcher was faster; the next read counts
				wait = time.Millisecond
			}
		}
		e.pause(ctx, wait)
	}
	return nil
}

// logStandby logs for whom this replica stands by, once for each leader. It does not name a
// leader that has given no sign of life: a dead process may have left the lease.
func (e *elector) logStandby(h holding) {
	nonce := h.record.Nonce
	if !h.held || nonce == e.c.nonce || nonce == e.leader || !e.c.peers.lives(nonce) {
		return
	}
	e.leader = nonce
	e.log.Info().Str("code", "lease.standby").Str("leader", h.record.Replica).Msgf("standing by for %s, led by %s", e.subscription, h.record.Replica)
}

// next decides what to do, given what is known of the lease. The duration is how long to
// wait before deciding again.
func (e *elector) next(h holding, now time.Time) (move, time.Duration) {
	timing := e.c.timing
	if !h.known || e.c.away.Load() { // what was heard before NATS answers again means nothing
		return moveLook, 0
	}
	// After NATS was unavailable, a holder gets time to come back before its lease is taken,
	// whatever the lease looks like by then. A released lease has no holder.
	quiet := e.c.peers.quietFor(now)
	if !h.held && h.freed && !h.purged && quiet > 0 {
		if !h.read {
			return moveLook, 0
		}
		return moveStay, quiet
	}
	if !h.held {
		return at(later(h.changed.Add(e.c.patience(e.subscription)), e.reticent), now)
	}
	if h.record.Nonce == e.c.nonce { // our own write, which seemed to fail
		return moveTake, 0
	}
	e.yielded.Store(false) // somebody took it
	e.reticent = time.Time{}
	if since, dead := e.c.peers.deadSince(h.record.Nonce); dead && since.After(h.since) {
		return at(since.Add(min(e.c.patience(e.subscription), 2*courtesy)), now)
	}
	unread := now.Sub(h.heard)
	unchanged := now.Sub(h.changed)
	switch {
	case unchanged >= timing.takeover && quiet > 0:
		return moveStay, quiet
	case unchanged >= timing.takeover && unread < timing.retry:
		return moveTake, 0
	case unchanged >= timing.takeover, now.Sub(h.told) >= timing.silence && unread >= timing.look:
		return moveLook, 0
	}
	return moveStay, min(timing.takeover-unchanged, max(timing.silence-now.Sub(h.told), timing.look-unread))
}

// at is the move of taking the lease at a given time.
func at(when, now time.Time) (move, time.Duration) {
	if wait := when.Sub(now); wait > 0 {
		return moveStay, wait
	}
	return moveTake, 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (e *elector) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.wake:
	case <-e.release: // there is nothing to give away
	case <-ctx.Done():
	}
}

// take tries to take the lease with a compare-and-swap at the last revision seen. It
// returns nil if that fails. It ignores ctx's cancellation: abandoning the request could
// leave a lease that nobody holds.
func (e *elector) take(ctx context.Context, h holding) *Term {
	ctx = context.WithoutCancel(ctx)
	p := e.c.newProof()
	reason := e.reason(h)
	record := record.Lease{Replica: e.c.opt.Replica, Nonce: e.c.nonce, Host: e.c.host, PID: os.Getpid(), Since: p.began.UTC(), Taken: reason}
	revision, err := e.write(ctx, record, h.revision)
	if err != nil {
		found, unread := e.read(ctx)
		if unread != nil || !found.held || !sameTerm(found.record, record) {
			e.log.Debug().Str("code", "lease.untaken").Err(err).Msg("lease not taken")
			return nil
		}
		revision = found.revision
	}
	epoch := e.epoch(ctx, h.epoch, revision)
	if epoch != revision { // the record must state it before anything is done in this epoch
		record.Epoch = epoch
		if revision, err = e.write(ctx, record, revision); err != nil {
			e.log.Debug().Str("code", "lease.untaken").Err(err).Msg("lease not taken")
			return nil // the record is ours, so the lease is taken again
		}
	}
	e.log.Info().Str("code", "lease.taken").Uint64("epoch", epoch).Str("from", h.record.Replica).Str("reason", reason).Msg("lease taken")
	e.transition(reason)
	from := h.record
	if h.held {
		from.Epoch = cmp.Or(from.Epoch, h.revision)
	}
	record.Epoch = epoch
	t := newTerm(e.c.link, e.subscription, from, record, revision, p)
	if !h.held {
		t.Released = h.released
	}
	return t
}

// epoch is the epoch of a term that began with a revision. It is higher than all before,
// of which seen is the highest in the lease's records. The revision itself is, as long as
// the bucket is the same; in a bucket that was created again, revisions start at 1.
func (e *elector) epoch(ctx context.Context, seen, revision uint64) uint64 {
	if seen > 0 && revision > seen {
		return revision
	}
	if e.c.opt.Epoch != nil {
		if elsewhere := e.c.opt.Epoch(ctx, e.subscription); elsewhere < message.MaxNumber {
			seen = max(seen, elsewhere)
		}
	}
	return max(revision, seen+1)
}

// write makes one compare-and-swap.
func (e *elector) write(ctx context.Context, record record.Lease, expected uint64) (uint64, error) {
	value, err := encode(record)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.c.timing.try)
	defer cancel()
	revision, err := e.c.bucket.Put(ctx, e.key, value, expected, e.c.timing.ttl)
	if err == nil {
		e.c.view.watched(e.subscription, kv.Entry{Revision: revision, Value: value})
	}
	return revision, err
}

// read reads the lease from the leader of the bucket's stream.
func (e *elector) read(ctx context.Context) (holding, error) {
	ctx, cancel := context.WithTimeout(ctx, e.c.timing.try)
	defer cancel()
	began := time.Now()
	entry, err := e.c.bucket.Get(ctx, e.key)
	e.c.noteLeaseRead(err == nil)
	if err != nil {
		return holding{}, err
	}
	return e.c.view.read(e.subscription, entry, began), nil
}

// Why a lease is released, for the marker that the release leaves.
const (
	reasonRebalance = "rebalance" // its holder has more than its share
	reasonNone      = ""
)

// yield asks the elector to give its lease away, if it has one.
func (e *elector) yield(reason string) {
	if e.leading.Load() != nil {
		e.yielded.Store(true)
		select {
		case e.release <- reason:
		default: // it was already asked
		}
	}
}
