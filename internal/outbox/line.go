package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/publisher"
)

// Line is one subscription's messages of one term, in order.
type Line struct {
	outbox *Outbox
	key    lineKey
	stored func(Stored)

	// The fields below are guarded by o.mu.

	pending int // not stored in the stream
	unsafe  int // of these, not on disk either
	ended   bool
	safe    chan struct{} // closed when unsafe is zero; nil if nobody waits
	stats   LineStats
}

// lineKey finds the Line of a message that was read back from disk.
type lineKey struct{ subscription, epoch string }

// LineStats counts what became of a Line's messages.
type LineStats struct {
	Acked      uint64 // stored, duplicates included
	Duplicates uint64 // of these, recognised by the stream on their first sending
	Pending    int    // not yet stored
}

// Times are those of an event. They come back with Stored, unless the message went
// over the disk.
type Times struct {
	Happened, Sent, Received time.Time
}

// Stored is a message in the stream.
type Stored struct {
	publisher.Ack
	Times Times
	At    time.Time
}

// Line returns a new Line for the messages with these values of Zoom-Subscription
// and Zoom-Epoch, which every message of a subscription has. stored is told of each
// that is, must not block, and may be nil.
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

// Publish accepts a message, which must not be changed afterwards. It waits while
// the bounds of memory and disk are reached, and returns the context's error, or
// publisher.ErrClosed, only if the message was not accepted.
func (l *Line) Publish(ctx context.Context, msg *nats.Msg, times Times) error {
	return l.outbox.publish(ctx, &entry{msg: msg, line: l, times: times, size: publisher.Size(msg)})
}

// Close ends the Line: nothing more is published, and Stats and stored are of no more
// interest once all is stored. It waits until everything accepted is stored in the
// stream or on disk. Its error says how many messages are not; they are kept in
// memory, and Drain waits longer.
func (l *Line) Close(ctx context.Context) error {
	err := l.flush(ctx)
	l.outbox.mu.Lock()
	defer l.outbox.mu.Unlock()
	l.ended = true
	l.forget()
	return err
}

// flush waits until everything accepted so far, and meanwhile, is stored or on disk.
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
// disk, and when it was accepted; zero: there is none.
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

// noteStored notes that a message is stored. The caller holds o.mu.
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

// noteSaved notes that a message is safe; l may be nil. The caller holds o.mu.
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
