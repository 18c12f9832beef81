package bridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/record"
)

// What is told of a gap.
type (
	Gap      = record.Gap
	GapCause = record.GapCause
)

// The causes.
const (
	GapDisconnected    = record.GapDisconnected
	GapKicked          = record.GapKicked
	GapCrash           = record.GapCrash
	GapHandoverTimeout = record.GapHandoverTimeout
	GapStart           = record.GapStart
)

const subjectGap = "._bridge.gap"

// gapAfter is the gap between the connection that a state tells of and the one of
// this term with the given number.
func (b *Bridge) gapAfter(last State, from, to time.Time, next uint64, cause GapCause, certain bool) Gap {
	if from.After(to) || from.IsZero() {
		from = to // two machines' clocks, or nobody knows
	}
	return Gap{
		Subscription: b.cfg.Subscription, From: from.UTC(), To: to.UTC(), Milliseconds: to.Sub(from).Milliseconds(),
		Cause: cause, Detail: record.Cut(last.End), Certain: certain, PreviousReplica: last.Replica, Replica: b.cfg.Replica, Epoch: b.cfg.Epoch,
		ID: fmt.Sprintf("gap:%s:%s:%d.%d-%d.%d", b.cfg.Subscription, last.Nonce, last.Epoch, last.Connection, b.cfg.Epoch, next),
	}
}

// found counts a gap and logs it.
func (b *Bridge) found(g Gap) {
	b.cfg.Log.Warn().Str("code", "gap").Str("cause", string(g.Cause)).Bool("certain", g.Certain).Time("from", g.From).
		Int64("duration_ms", g.Milliseconds).Str("previous", g.PreviousReplica).Msg("gap before this connection: what Zoom sent then is lost")
	b.cfg.Meter.Gaps.Inc()
	b.cfg.Meter.GapSeconds.Add(max(0, g.To.Sub(g.From).Seconds()))
}

// gapMessage is the marker of a gap.
func (b *Bridge) gapMessage(g Gap) *nats.Msg {
	return b.control(subjectGap, g.ID, g)
}

// control makes a message of this program's own.
func (b *Bridge) control(subject, id string, body any) *nats.Msg {
	return control(b.cfg.Prefix+subject, id, b.cfg.Subscription, body)
}

func control(subject, id, subscription string, body any) *nats.Msg {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // they are structs of text, numbers and times
	}
	h := newMessage(subject)
	h.Data = data
	h.set(nats.MsgIdHdr, id)
	if subscription != "" {
		h.set(headerSubscription, subscription)
	}
	return &h.Msg
}
