package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/publisher"
)

// Line is one subscription's messages of one term, in order.
type Line struct {
	p      *Outbox
	key    lineKey
	stored func(Stored)

	// The fields below are guarded by p.mu.

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

// Note is what its owner wants to be told again when a message is stored. It is
// lost when the message goes over the disk.
type Note struct {
	Happened, Sent, Received time.Time
}

// Stored is a message in the stream.
type Stored struct {
	publisher.Ack
	Note Note
	At   time.Time
}

// The headers that a Line is found by. Every message has them.
const (
	headerSubscription = "Zoom-Subscription"
	headerEpoch        = "Zoom-Epoch"
)

// Line returns a new Line for the messages with these values of Zoom-Subscription
// and Zoom-Epoch. stored is told of each that is, must not block, and may be nil.
func (p *Outbox) Line(subscription, epoch string, stored func(Stored)) *Line {
	l := &Line{p: p, key: lineKey{subscription, epoch}, stored: stored}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines[l.key] = l
	return l
}

func (p *Outbox) lineOf(msg *nats.Msg) *Line {
	subscription, epoch := msg.Header[headerSubscription], msg.Header[headerEpoch]
	if len(subscription) == 0 || len(epoch) == 0 {
		return nil
	}
	return p.lines[lineKey{subscription[0], epoch[0]}]
}

// Publish accepts a message, which must not be changed afterwards. It waits while
// the bounds of memory and disk are reached, and returns the context's error, or
// publisher.ErrClosed, only if the message was not accepted.
func (l *Line) Publish(ctx context.Context, msg *nats.Msg, note Note) error {
	return l.p.put(ctx, &entry{msg: msg, line: l, note: note, size: publisher.Size(msg)})
}

// Flush waits until everything accepted so far, and meanwhile, is stored in the
// stream or on disk. Its error says how many messages are not.
func (l *Line) Flush(ctx context.Context) error {
	l.p.mu.Lock()
	if l.unsafe == 0 {
		l.p.mu.Unlock()
		return nil
	}
	if l.safe == nil {
		l.safe = make(chan struct{})
	}
	safe := l.safe
	l.p.mu.Unlock()

	err := error(nil)
	select {
	case <-safe:
		return nil
	case <-l.p.done:
		err = publisher.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.p.mu.Lock()
	count := l.unsafe
	l.p.mu.Unlock()
	if count == 0 {
		return nil
	}
	return fmt.Errorf("%d received messages: %w: %w", count, l.p.why(), err)
}

// End says that nothing more is published, and that Stats and stored are of no
// more interest once all is stored.
func (l *Line) End() {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.ended = true
	l.forget()
}

// Stats may be called at any time.
func (l *Line) Stats() LineStats {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	st := l.stats
	st.Pending = l.pending
	return st
}

// OldestUnsafe returns the note of the oldest message that is neither stored nor on
// disk, and when it was accepted; zero: there is none.
func (l *Line) OldestUnsafe() (note Note, accepted time.Time) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.unsafe == 0 {
		return Note{}, time.Time{}
	}
	found := func(e *entry) bool {
		if e.line == l && e.record == 0 {
			note, accepted = e.note, e.accepted
			return true
		}
		return false
	}
	l.p.unacked(func(e *entry) bool { return !found(e) })
	for _, e := range l.p.waiting.all() {
		if !accepted.IsZero() || found(e) {
			break
		}
	}
	return note, accepted
}

// settle notes that a message is stored. The caller holds p.mu.
func (l *Line) settle(ack publisher.Ack, saved bool) {
	l.pending--
	l.stats.Acked++
	if ack.Duplicate && !ack.Resent {
		l.stats.Duplicates++
	}
	if !saved {
		l.saved()
	}
	l.forget()
}

// saved notes that a message is safe; l may be nil. The caller holds p.mu.
func (l *Line) saved() {
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
	if l.ended && l.pending == 0 && l.p.lines[l.key] == l {
		delete(l.p.lines, l.key)
	}
}
