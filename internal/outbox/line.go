package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/publisher"
)

// Line is one subscription's messages of one term, in order. It is safe for concurrent use.
type Line struct {
	outbox *Outbox
	key    lineKey
	stored func(Stored)

	// The fields below are guarded by outbox.mu.

	pending int // messages not stored in the stream
	unsafe  int // of these, not on disk either
	ended   bool
	safe    chan struct{} // closed when unsafe is zero; nil if nobody waits
	stats   LineStats
}

// lineKey identifies the Line of a message that was read back from disk.
type lineKey struct{ subscription, epoch string }

// LineStats are the counters of a Line.
type LineStats struct {
	Acked      uint64 // stored, duplicates included
	Duplicates uint64 // of these, recognised by the stream on their first sending
	Pending    int    // not yet stored
}

// Times are the times of an event. Stored returns them, unless the message was read back
// from disk.
type Times struct {
	Happened, Sent, Received time.Time
}

// Stored is a message that is now in the stream.
type Stored struct {
	publisher.Ack
	Times Times
	At    time.Time // when its acknowledgement was handled
}

// Line returns a new Line for the messages with these values of Zoom-Subscription
// and Zoom-Epoch; every message of a subscription has these headers. stored is called
// with each stored message; it must not block, and may be nil.
func (o *Outbox) Line(subscription, epoch string, stored func(Stored)) *Line {
	l := &Line{outbox: o, key: lineKey{subscription, epoch}, stored: stored}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines[l.key] = l
	return l
}

func (o *Outbox) lineOf(msg *nats.Msg) *Line {
	subscription, epoch := msg.Header[message.HeaderSubscription], msg.Header[message.HeaderEpoch]
	if len(subscription) == 0 || len(epoch) == 0 {
		return nil
	}
	return o.lines[lineKey{subscription[0], epoch[0]}]
}

// Publish accepts a message, which must not be changed afterwards. It blocks while
// the bounds of memory and disk are reached. An error, the context's cause or
// publisher.ErrClosed, means that the message was not accepted.
func (l *Line) Publish(ctx context.Context, msg *nats.Msg, times Times) error {
	return l.outbox.publish(ctx, &entry{msg: msg, line: l, times: times, size: publisher.Size(msg)})
}

// Close ends the Line; nothing more may be published on it. It waits until everything
// accepted is stored in the stream or on disk. If ctx ends first, the error says how many
// messages are neither; they stay in memory, and Drain waits longer for them. Messages that
// were acknowledged late still count in Stats and are reported to stored.
func (l *Line) Close(ctx context.Context) error {
	err := l.flush(ctx)
	l.outbox.mu.Lock()
	defer l.outbox.mu.Unlock()
	l.ended = true
	l.forget()
	return err
}

// flush waits until everything accepted before and during the wait is stored or on disk.
func (l *Line) flush(ctx context.Context) error {
	l.outbox.mu.Lock()
	if l.unsafe == 0 {
		l.outbox.mu.Unlock()
		return nil
	}
	if l.safe == nil {
		l.safe = make(chan struct{})
	}
	safe := l.safe
	l.outbox.mu.Unlock()

	err := error(nil)
	select {
	case <-safe:
		return nil
	case <-l.outbox.done:
		err = publisher.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.outbox.mu.Lock()
	count := l.unsafe
	l.outbox.mu.Unlock()
	if count == 0 {
		return nil
	}
	return fmt.Errorf("%d received messages: %w: %w", count, l.outbox.unsafeReason(), err)
}

// Stats is safe for concurrent use.
func (l *Line) Stats() LineStats {
	l.outbox.mu.Lock()
	defer l.outbox.mu.Unlock()
	st := l.stats
	st.Pending = l.pending
	return st
}

// OldestUnsafe returns the times of the oldest message that is neither stored nor on
// disk, and when it was accepted. Both are zero if there is none.
func (l *Line) OldestUnsafe() (times Times, accepted time.Time) {
	l.outbox.mu.Lock()
	defer l.outbox.mu.Unlock()
	if l.unsafe == 0 {
		return Times{}, time.Time{}
	}
	found := func(e *entry) bool {
		if e.line == l && e.record == 0 {
			times, accepted = e.times, e.accepted
			return true
		}
		return false
	}
	l.outbox.unacked(func(e *entry) bool { return !found(e) })
	for _, e := range l.outbox.waiting.all() {
		if !accepted.IsZero() || found(e) {
			break
		}
	}
	return times, accepted
}

// noteStored counts a message as stored. saved is whether it was already safe on disk. The
// caller holds outbox.mu.
func (l *Line) noteStored(ack publisher.Ack, saved bool) {
	l.pending--
	l.stats.Acked++
	if ack.Duplicate && !ack.Resent {
		l.stats.Duplicates++
	}
	if !saved {
		l.noteSaved()
	}
	l.forget()
}

// noteSaved counts a message as safe; l may be nil. The caller holds outbox.mu.
func (l *Line) noteSaved() {
	if l == nil {
		return
	}
	l.unsafe--
	if l.unsafe == 0 && l.safe != nil {
		close(l.safe)
		l.safe = nil
	}
}

func (l *Line) forget() {
	if l.ended && l.pending == 0 && l.outbox.lines[l.key] == l {
		delete(l.outbox.lines, l.key)
	}
}
