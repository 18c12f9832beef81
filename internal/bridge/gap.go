package bridge

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// shortestGap is the shortest gap that a previous leader reports after its successor has
// connected. A shorter one may be no gap: two replicas do not notice the same displacement
// at the same instant.
const shortestGap = 300 * time.Millisecond

// newGap returns the gap between the last connection of a state and this term's connection
// with the given number.
func (b *Bridge) newGap(last record.State, from, to time.Time, connection uint64, cause message.GapCause, certain bool) message.Gap {
	if cause == message.GapKicked && !from.IsZero() { // a stranger got the events, and the displacement may have been read late
		from = earlier(from, later(from.Add(-zoom.ReadDelay), beganBy(last)))
	}
	if from.After(to) || from.IsZero() {
		from = to // the clocks of two machines differ, or from is unknown
	}
	return message.Gap{
		Subscription: b.cfg.Subscription, From: from.UTC(), To: to.UTC(), Milliseconds: to.Sub(from).Milliseconds(),
		Cause: cause, Detail: message.Short(last.End, message.MaxText), Certain: certain, PreviousReplica: last.Replica, Replica: b.cfg.Term.Replica, Epoch: b.cfg.Term.Epoch,
		ID: record.GapID(b.cfg.Subscription, last.Nonce, last.Epoch, last.Connection, b.cfg.Term.Epoch, connection),
	}
}

// beganBy is the earliest time at which the last connection of a state may have been ready.
func beganBy(s record.State) time.Time {
	if s.LastGap != nil {
		return later(s.First, s.LastGap.To)
	}
	return s.First
}

// logGap logs and counts a gap.
func (b *Bridge) logGap(g message.Gap) {
	b.cfg.Log.Warn().Str("code", "gap").Str("cause", string(g.Cause)).Bool("certain", g.Certain).Time("from", g.From).
		Int64("duration_ms", g.Milliseconds).Str("previous", g.PreviousReplica).Msg("gap before this connection: what Zoom sent then is lost")
	b.cfg.Metrics.Gaps.Inc()
	b.cfg.Metrics.GapSeconds.Add(max(0, g.Lasted().Seconds()))
}

// publishGaps publishes the gap markers.
func (b *Bridge) publishGaps(ctx context.Context, gaps []message.Gap) {
	for _, gap := range gaps {
		b.publish(ctx, gap.Msg(b.cfg.Stream.Prefix), outbox.Times{}) //nolint:errcheck // it stays unstored in the state, and the next replica publishes it
	}
}

// unreportedGap returns the gap that the successor cannot know about, if there is one: the
// successor relied on this replica's connection, which later turned out to have been dead.
func (b *Bridge) unreportedGap(ctx context.Context) []message.Gap {
	s := b.journal.current()
	if s.Connection == 0 || s.State != record.Disconnected || s.Cause == message.GapKicked || !b.termEnded.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	entry, err := b.cfg.States.Get(ctx, record.StatePrefix+b.cfg.Subscription)
	if err != nil || entry.Value == nil {
		return nil
	}
	next, _, err := record.ReadState(entry.Value, b.cfg.Subscription, b.cfg.Clock(time.Now()))
	if err != nil || next.Epoch <= s.Epoch || coversGap(next, s.Since) || next.First.Sub(s.Since) < shortestGap {
		return nil
	}
	gap := b.newGap(s, s.Since, next.First, s.Connection+1, message.GapDisconnected, false)
	gap.Replica, gap.Epoch = next.Replica, next.Epoch
	return []message.Gap{gap}
}

// coversGap reports whether a state contains the gap that began at from and ended with the
// term's first connection.
func coversGap(s record.State, from time.Time) bool {
	return s.FirstGap != nil && !s.FirstGap.From.After(from.Add(shortestGap)) && s.FirstGap.To.After(from)
}
