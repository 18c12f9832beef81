package record

import (
	"strings"
	"time"
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
	From         time.Time `json:"from"` // no later than when Zoom sent the first event that may be lost
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

// valid reports whether a gap is one of this subscription.
func (g *Gap) valid(subscription string) bool {
	return g.Subscription == subscription && strings.HasPrefix(g.ID, "gap:"+subscription+":") && len(g.ID) <= maxID &&
		!strings.ContainsFunc(g.ID, func(r rune) bool { return r <= ' ' || r > '~' }) &&
		!g.To.IsZero() && causes.MatchString(string(g.Cause)) && g.Epoch < MaxNumber && checkNames(g.Replica, g.PreviousReplica) == nil
}

// bound cuts a gap to what can have been, and reports whether it is one of this
// subscription.
func (g *Gap) bound(subscription string, now time.Time) bool {
	if !g.valid(subscription) {
		return false
	}
	g.From, g.To, g.Detail = clampTime(g.From, now), clampTime(g.To, now), Cut(g.Detail)
	if g.From.IsZero() || g.From.After(g.To) {
		g.From = g.To
	}
	g.Milliseconds = g.To.Sub(g.From).Milliseconds()
	return true
}
