package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// gapBefore tells whether there was a gap between the connection of the term
// before and one that is ready now. It also returns what that term's replica
// says of it, if it can be asked.
func (b *Bridge) gapBefore(ctx context.Context, last record.State, ready time.Time) (record.State, *message.Gap) {
	if last.Nonce == "" { // nobody was ever connected
		return last, nil
	}
	certain, before, asked := true, displacedBefore, false
	if last.State == record.Displaced { // and did not live to find out by whom
		before = 0
	}
	if !last.Final() || ready.Sub(last.Since) < displacedBefore { // else nothing can change, nor do clocks matter
		answer, ok := b.ask(ctx, last.Nonce, last.Epoch)
		if !ok && last.State == record.Connected {
			gap := b.gapAfter(last, b.lossBegins(ctx, last), ready, 1, message.GapCrash, false)
			return last, &gap
		}
		if ok {
			last, before, asked = answer, b.moment(), true
		} else {
			certain = last.Final()
		}
	}
	// A term that has recorded nothing may have displaced that connection all the same,
	// as soon as it had the lease, and Zoom may have let it look live for a while.
	if unrecorded := b.cfg.Term.Previous; last.State != record.Disconnected && unrecorded.Epoch > last.Epoch {
		answer, ok := b.ask(ctx, unrecorded.Nonce, unrecorded.Epoch)
		if !ok {
			from := later(last.LastEvent, earlier(last.LastFrame, unrecorded.Since))
			if !asked || from.Before(ready) { // else events came on that connection until now
				gap := b.gapAfter(last, from, ready, 1, message.GapCrash, false)
				return last, &gap
			}
		} else if answer.Connection > 0 {
			last, before = answer, b.moment()
		}
	}
	switch {
	case last.State == record.Connected && last.Unanswered:
		gap := b.gapAfter(last, last.LastFrame, ready, 1, message.GapDisconnected, false)
		return last, &gap
	case last.State == record.Disconnected:
		from := last.Since
		if !asked && !last.SafeUntil.IsZero() && last.SafeUntil.Before(from) { // what it had received then may have ended with it
			from = earlier(from, b.lossBegins(ctx, last))
		}
		if asked && last.Cause == message.GapDisconnected && last.Ended.After(ready) { // it may have lived until this one displaced it
			certain = false
		}
		gap := b.gapAfter(last, from, ready, 1, last.Cause, certain)
		return last, &gap
	case last.State != record.Connected && ready.Sub(last.Since) > before: // displaced, but not by this one, it seems
		gap := b.gapAfter(last, last.Since, ready, 1, message.GapKicked, false)
		return last, &gap
	}
	return last, nil
}

// displacedBefore is how much earlier than a connection was ready a displacement
// is taken for a stranger's, where two machines' clocks are compared. On one clock it
// is what the dial took, within bounds: a busy machine must not take its own for a
// stranger's, and a stranger's during a long dial must not pass for its own. noGap is
// too short for a gap that one replica sees alone.
const (
	displacedBefore = 10 * time.Second
	shortestMoment  = 50 * time.Millisecond
	longestMoment   = 250 * time.Millisecond
	noGap           = 300 * time.Millisecond
)

// moment is how much earlier than this term's first connection was ready it may have
// displaced another one.
func (b *Bridge) moment() time.Duration {
	return min(max(shortestMoment, time.Duration(b.firstDial.Load())), longestMoment)
}

// lateGap is a gap that the successor cannot know of: it counted on a connection
// that this replica held and that later turned out to have been dead.
func (b *Bridge) lateGap(ctx context.Context) []message.Gap {
	s := b.journal.current()
	if s.Connection == 0 || s.State != record.Disconnected || s.Cause == message.GapKicked || !b.over.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	entry, err := b.cfg.States.Get(ctx, record.StatePrefix+b.cfg.Subscription)
	if err != nil || entry.Value == nil {
		return nil
	}
	next, _, err := record.ReadState(entry.Value, b.cfg.Subscription, b.cfg.Clock(time.Now()))
	if err != nil || next.Epoch <= s.Epoch {
		return nil
	}
	to := next.First
	if tells(next, s.Since) || to.Sub(s.Since) < noGap {
		return nil
	}
	gap := b.gapAfter(s, s.Since, to, s.Connection+1, message.GapDisconnected, false)
	gap.Replica, gap.Epoch = next.Replica, next.Epoch
	return []message.Gap{gap}
}

// tells reports whether a state tells of the gap that began at a time and ended
// with its term's first connection.
func tells(s record.State, from time.Time) bool {
	return s.FirstGap != nil && !s.FirstGap.From.After(from.Add(noGap)) && s.FirstGap.To.After(from)
}

// ask asks the replica that was connected before. It fails if that has ended, is
// cut off, or does not answer in time.
func (b *Bridge) ask(ctx context.Context, nonce string, epoch uint64) (answer record.State, ok bool) {
	for range 2 {
		try, cancel := context.WithTimeout(ctx, askTimeout)
		text, err := b.cfg.Peers.Ask(try, nonce, Question(b.cfg.Subscription, epoch))
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

// Question is what a replica is asked by its successor. [Bridge.Describe] of the
// term is the answer.
func Question(subscription string, epoch uint64) string {
	return fmt.Sprintf("%s %d", subscription, epoch)
}

// lossBegins is where the loss may begin that the end of a replica has caused, which
// cannot be asked any more. Its last answer to this one is on this one's clock, so it
// goes before all else. Its state is some seconds old; messages are stored, and go to
// disk, in order, so all before the newest one that is there is safe.
func (b *Bridge) lossBegins(ctx context.Context, last record.State) time.Time {
	if at := b.cfg.Peers.SafeUntil(last.Nonce); !at.IsZero() {
		return b.cfg.Clock(at)
	}
	if last.Unanswered {
		return earlier(last.LastFrame, last.SafeUntil)
	}
	begin := last.SafeUntil
	if begin.IsZero() { // of a program that did not note it
		begin = later(last.Since, last.LastFrame)
	}
	return later(begin, later(b.lastStored(ctx, last.Epoch), b.lastSpooled(ctx, last.Epoch)))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readFrom is the time from which on what Zoom sent after a message may be unread;
// zero if it does not say when it was received.
func readFrom(h message.Headers) time.Time {
	if h.Received.IsZero() {
		return time.Time{}
	}
	return zoom.ReadFrom(message.Plausible(h.Sent, h.Received), h.Received)
}

// ofEpoch reports whether a message is of an epoch, or, if that is not known, not
// of this one.
func ofEpoch(h message.Headers, epoch, own uint64) bool {
	if epoch == 0 {
		return h.Epoch != own
	}
	return h.Epoch == epoch
}

// lastSpooled is when the newest event of the subscription and an epoch was received
// that an earlier run has left on disk.
func (b *Bridge) lastSpooled(ctx context.Context, epoch uint64) time.Time {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	header := b.cfg.Outbox.Leftover(ctx, b.cfg.Subscription)
	if h := message.ParseHeaders(header); header != nil && ofEpoch(h, epoch, b.cfg.Term.Epoch) {
		return readFrom(h)
	}
	return time.Time{}
}

// lastStored is when the newest stored event of the subscription and an epoch was
// received, if it is among the last of the stream. A crashed replica's state is
// some seconds old; this is its last trace.
func (b *Bridge) lastStored(ctx context.Context, epoch uint64) time.Time {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // far away, it is left out
	defer cancel()
	const most = 64
	stream, err := b.js.Stream(ctx, b.cfg.Stream.Name)
	if err != nil {
		return time.Time{}
	}
	for msg, err := range newestFirst(ctx, stream, most) {
		if err != nil {
			return time.Time{}
		}
		h := message.ParseHeaders(msg.Header)
		if h.Subscription != b.cfg.Subscription || !ofEpoch(h, epoch, b.cfg.Term.Epoch) {
			continue
		}
		if at := readFrom(h); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}
