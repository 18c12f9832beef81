package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// askTimeout bounds one question to the previous term's replica.
	askTimeout = 300 * time.Millisecond

	// The previous connection's displacement was a stranger's if it came too long before
	// this term's connection was ready. If the two times are from the clocks of two machines,
	// they may differ by clockTolerance. On one clock, a displacement by this term falls
	// within its dial. So the limit is the dial's length, within bounds: a busy machine must
	// not take its own displacement for a stranger's, and a stranger's displacement during a
	// long dial must not pass for this term's own.
	clockTolerance         = 10 * time.Second
	minDisplacementAdvance = 50 * time.Millisecond
	maxDisplacementAdvance = 250 * time.Millisecond
	// recordTolerance is by how much the ages of a record and of a dial may be wrong: NATS
	// servers have clocks of their own, and a machine may pause.
	recordTolerance = time.Second

	// maxSearch is the number of the stream's last messages that are searched for an event
	// of the previous term.
	maxSearch = 64
)

// gapBeforeTerm returns the gap between the previous term's connection and this term's
// first one, or nil if there is none. last is the recorded state of the previous term, and
// ready is when this term's connection was ready. The returned state is the answer of the
// previous term's replica, or last if there was no answer.
func (b *Bridge) gapBeforeTerm(ctx context.Context, last record.State, ready time.Time) (record.State, *message.Gap) {
	if last.Nonce == "" { // nobody was ever connected
		return last, nil
	}
	certain, answered := true, false
	if !last.Final() || ready.Sub(last.Since) < clockTolerance { // otherwise it cannot change, and clocks do not matter
		answer, ok := b.askReplica(ctx, last.Nonce, last.Epoch)
		switch {
		case ok:
			last, answered = answer, true
		case last.State == record.Connected:
			return last, new(b.newGap(last, b.lossStart(ctx, last), ready, 1, message.GapCrash, false))
		default:
			certain = last.Final()
		}
	}
	// A later term that recorded nothing may still have displaced that connection, as soon as
	// it had the lease. The displaced connection may have looked live for a while.
	if unrecorded := b.cfg.Term.Previous; last.State != record.Disconnected && unrecorded.Epoch > last.Epoch {
		answer, ok := b.askReplica(ctx, unrecorded.Nonce, unrecorded.Epoch)
		switch {
		case ok && answer.Connection > 0:
			last, answered = answer, true
		case !ok:
			from := later(last.LastEvent, earlier(last.LastFrame, unrecorded.Since))
			if !answered || from.Before(ready) { // otherwise events came on that connection until now
				return last, new(b.newGap(last, from, ready, 1, message.GapCrash, false))
			}
		}
	}
	switch {
	case last.State == record.Connected && last.Unanswered:
		return last, new(b.newGap(last, last.LastFrame, ready, 1, message.GapDisconnected, false))
	case last.State == record.Disconnected:
		from := last.Since
		if !answered && !last.SafeUntil.IsZero() && last.SafeUntil.Before(from) { // what it had received may be lost with its process
			from = earlier(from, b.lossStart(ctx, last))
		}
		certain = certain && !b.mayHaveDisplaced(last, answered, ready)
		return last, new(b.newGap(last, from, ready, 1, last.Cause, certain))
	case last.State != record.Connected && ready.Sub(last.Since) > b.displacementAdvance(last, answered): // by a stranger, it seems
		return last, new(b.newGap(last, last.Since, ready, 1, message.GapKicked, false))
	case last.State != record.Connected && !answered:
		if recorded, ok := b.displacedBefore(ctx, last, ready); ok {
			return last, new(b.newGap(last, earlier(last.Since, recorded), ready, 1, message.GapKicked, false))
		}
	}
	return last, nil
}

// displacedBefore reports whether the previous term's connection was displaced before this
// term's first successful dial began, so not by it, and when that was recorded. It does not
// compare this machine's clock with the other replica's: the age of the record is by NATS'
// clock, and that of the dial by this replica's. If there may have been a term in between, the
// displacement may have been that one's handover.
func (b *Bridge) displacedBefore(ctx context.Context, last record.State, ready time.Time) (recorded time.Time, ok bool) {
	if last.Epoch != b.cfg.Term.Released && last.Epoch != b.cfg.Term.Previous.Epoch {
		return time.Time{}, false
	}
	age, err := b.cfg.States.Age(ctx, record.StatePrefix+b.cfg.Subscription)
	if err != nil {
		return time.Time{}, false
	}
	now := b.cfg.Clock(time.Now()) // afterwards: the time that the question took must not make the record older
	dialled := now.Sub(ready) + time.Duration(b.firstDial.Load())
	return now.Add(-age), age > dialled+recordTolerance
}

// mayHaveDisplaced reports whether this term's first connection may have ended the previous
// term's connection. That is so if the end was noticed only after this one was ready, or if
// the previous replica was displaced, or closed the connection, at about that time and could
// not see this term, as in an outage of NATS.
func (b *Bridge) mayHaveDisplaced(last record.State, answered bool, ready time.Time) bool {
	switch last.Cause {
	case message.GapDisconnected:
		return answered && last.Ended.After(ready)
	case message.GapHandoverTimeout, message.GapStart: // closed while this term was dialling?
		return ready.Sub(last.Since) <= time.Duration(b.firstDial.Load())
	case message.GapKicked:
		return ready.Sub(last.Since) <= b.displacementAdvance(last, answered)
	}
	return false
}

// displacementAdvance is how long before this term's first connection was ready this term
// may have displaced the previous connection.
func (b *Bridge) displacementAdvance(last record.State, answered bool) time.Duration {
	switch {
	case answered:
		return min(max(minDisplacementAdvance, time.Duration(b.firstDial.Load())), maxDisplacementAdvance)
	case last.State == record.Displaced: // its replica died before it found out who displaced it
		return 0
	}
	return clockTolerance
}

// askReplica asks the process with a nonce for its state in an epoch, at most twice for
// askTimeout. It returns false if that process has ended, is cut off, or does not answer in
// time.
func (b *Bridge) askReplica(ctx context.Context, nonce string, epoch uint64) (answer record.State, ok bool) {
	for range 2 {
		askCtx, cancel := context.WithTimeout(ctx, askTimeout)
		text, err := b.cfg.Peers.Ask(askCtx, nonce, questionOf(b.cfg.Subscription, epoch))
		cancel()
		if err != nil {
			continue
		}
		answer, err = record.ReadAnswer(text, b.cfg.Subscription, b.cfg.Clock(time.Now()))
		if err == nil && answer.Epoch == epoch && answer.Nonce == nonce {
			return answer, true
		}
	}
	return record.State{}, false
}

// questionOf is the question to the replica that led an epoch (see [Bridge.Answer]).
func questionOf(subscription string, epoch uint64) string {
	return fmt.Sprintf("%s %d", subscription, epoch)
}

// lossStart is the time from which events may be lost with a replica that no longer answers.
// The SafeUntil that it last reported to this replica takes precedence, since that is on this
// replica's clock. The recorded state is some seconds old. But messages are stored, and
// written to disk, in order, so everything before the newest one found there is safe.
func (b *Bridge) lossStart(ctx context.Context, last record.State) time.Time {
	if at := b.cfg.Peers.SafeUntil(last.Nonce); !at.IsZero() {
		return b.cfg.Clock(at)
	}
	if last.Unanswered {
		return earlier(last.LastFrame, last.SafeUntil)
	}
	begin := last.SafeUntil
	if begin.IsZero() { // written by a version that did not record it
		begin = later(last.Since, last.LastFrame)
	}
	return later(begin, later(b.lastStored(ctx, last.Epoch), b.lastSpooled(ctx, last.Epoch)))
}

// lastStored is the time up to which everything that Zoom sent in an epoch is stored,
// according to the subscription's newest message of that epoch among the last maxSearch
// messages of the stream; zero: unknown.
func (b *Bridge) lastStored(ctx context.Context, epoch uint64) time.Time {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // if NATS is slower, the recorded state must do
	defer cancel()
	stream, err := b.js.Stream(ctx, b.cfg.Stream.Name)
	if err != nil {
		return time.Time{}
	}
	for msg, err := range newestFirst(ctx, stream, maxSearch) {
		if err != nil {
			return time.Time{}
		}
		h := message.ParseHeaders(msg.Header)
		if h.Subscription != b.cfg.Subscription || !b.ofPreviousEpoch(h, epoch) {
			continue
		}
		if at := unreadSince(h); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// lastSpooled is like lastStored, but according to the subscription's newest event that an
// earlier run of this replica left on disk.
func (b *Bridge) lastSpooled(ctx context.Context, epoch uint64) time.Time {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	header := b.cfg.Outbox.Leftover(ctx, b.cfg.Subscription)
	if h := message.ParseHeaders(header); header != nil && b.ofPreviousEpoch(h, epoch) {
		return unreadSince(h)
	}
	return time.Time{}
}

// ofPreviousEpoch reports whether a message is of a previous epoch; 0: of any but this
// term's.
func (b *Bridge) ofPreviousEpoch(h message.Headers, epoch uint64) bool {
	if epoch == 0 {
		return h.Epoch != b.cfg.Term.Epoch
	}
	return h.Epoch == epoch
}

// unreadSince is the time from which frames that Zoom sent after a message may be unread;
// zero if the message does not say when it was received.
func unreadSince(h message.Headers) time.Time {
	if h.Received.IsZero() {
		return time.Time{}
	}
	return zoom.ReadFrom(message.Plausible(h.Sent, h.Received), h.Received)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
