package bridge

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// gapAfter is the gap between the connection that a state tells of and the one of
// this term with the given number.
func (b *Bridge) gapAfter(last record.State, from, to time.Time, next uint64, cause message.GapCause, certain bool) message.Gap {
	if from.After(to) || from.IsZero() {
		from = to // two machines' clocks, or nobody knows
	}
	return message.Gap{
		Subscription: b.cfg.Subscription, From: from.UTC(), To: to.UTC(), Milliseconds: to.Sub(from).Milliseconds(),
		Cause: cause, Detail: message.Short(last.End, message.MaxText), Certain: certain, PreviousReplica: last.Replica, Replica: b.cfg.Term.Replica, Epoch: b.cfg.Term.Epoch,
		ID: record.GapID(b.cfg.Subscription, last.Nonce, last.Epoch, last.Connection, b.cfg.Term.Epoch, next),
	}
}

// found counts a gap and logs it.
func (b *Bridge) found(g message.Gap) {
	b.cfg.Log.Warn().Str("code", "gap").Str("cause", string(g.Cause)).Bool("certain", g.Certain).Time("from", g.From).
		Int64("duration_ms", g.Milliseconds).Str("previous", g.PreviousReplica).Msg("gap before this connection: what Zoom sent then is lost")
	b.cfg.Metrics.Gaps.Inc()
	b.cfg.Metrics.GapSeconds.Add(max(0, g.Lasted().Seconds()))
}
