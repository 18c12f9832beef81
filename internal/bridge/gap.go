package bridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// GapCause says why there was no connection.
type GapCause string

// The causes.
const (
	GapDisconnected    GapCause = "disconnected"     // the connection ended, and this replica opened the next one
	GapKicked          GapCause = "kicked"           // a stranger connected to the subscription
	GapCrash           GapCause = "crash"            // the replica that was connected cannot be asked any more
	GapHandoverTimeout GapCause = "handover_timeout" // no other replica connected in time when one stopped
	GapStart           GapCause = "start"            // no replica was left when the last one stopped
)

// Gap is an interval in which no connection of the subscription was live: what
// Zoom sent then is lost. It is the body of a marker in the stream, stored before
// the first event after it.
type Gap struct {
	Subscription string    `json:"subscription"`
	From         time.Time `json:"from"` // the last sign of life before
	To           time.Time `json:"to"`   // when the next connection was ready
	Milliseconds int64     `json:"duration_ms"`
	Cause        GapCause  `json:"cause"`
	Detail       string    `json:"detail,omitempty"` // of the cause, as in the log
	// Certain says that it is known to be a gap. It is not when the replica
	// before may have been connected all the time, but could not be asked.
	Certain         bool   `json:"certain"`
	PreviousReplica string `json:"previous_replica"`
	Replica         string `json:"replica"`
	Epoch           uint64 `json:"epoch"`

	// ID names the connections before and after, so that the gap is stored
	// once however often it is told of.
	ID string `json:"id"`
}

const subjectGap = "._bridge.gap"

// gapAfter is the gap between the connection that a state tells of and the one of
// this term with the given number.
func (b *Bridge) gapAfter(last State, from, to time.Time, next uint64, cause GapCause, certain bool) Gap {
	if from.After(to) || from.IsZero() {
		from = to // two machines' clocks, or nobody knows
	}
	return Gap{
		Subscription: b.cfg.Subscription, From: from.UTC(), To: to.UTC(), Milliseconds: to.Sub(from).Milliseconds(),
		Cause: cause, Detail: last.End, Certain: certain, PreviousReplica: last.Replica, Replica: b.cfg.Replica, Epoch: b.cfg.Epoch,
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
	h := newHeaders()
	h.set(nats.MsgIdHdr, id)
	if subscription != "" {
		h.set(headerSubscription, subscription)
	}
	return &nats.Msg{Subject: subject, Header: h.header, Data: data}
}
