package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Gap is an interval in which no connection of a subscription was live: what Zoom sent
// then is lost. Its message is stored before the first event after it, unless NATS is
// away just then.
type Gap struct {
	// Id of the event subscription.
	Subscription string `json:"subscription"`
	// No later than when Zoom sent the first event that may be lost: the oldest one that was received and neither
	// stored nor on disk counts, not the last sign of life.
	From time.Time `json:"from"`
	// When the next connection was ready.
	To time.Time `json:"to"`
	// From the one to the other, in milliseconds.
	Milliseconds int64 `json:"duration_ms"`
	// Why there was no connection; see below.
	Cause GapCause `json:"cause"`
	// More about the cause, for people. Absent if nothing is known.
	Detail string `json:"detail,omitempty"`
	// False if the replica before may have been connected all the time: it could not be asked, as after a crash, could
	// not see by whom it was displaced, or closed its connection while this one was being opened.
	Certain bool `json:"certain"`
	// Name of the replica that was connected before; `?` if that is not known.
	PreviousReplica string `json:"previous_replica"`
	// Name of the replica that connected next.
	Replica string `json:"replica"`
	// Epoch of that replica's leadership.
	Epoch uint64 `json:"epoch"`
	// Names the connections before and after; also the message's id. A gap that is told of twice has one id.
	ID string `json:"id"`

	// Impossible says that From and To are not what the message said, which cannot
	// have been, but what comes closest to it.
	Impossible bool `json:"-"`
}

// GapCause says why there was no connection. A later version may have more of them.
type GapCause string

// The causes.
const (
	GapDisconnected    GapCause = "disconnected"     // the connection ended, and the same replica opened the next one
	GapKicked          GapCause = "kicked"           // somebody else connected to the subscription
	GapCrash           GapCause = "crash"            // the replica that was connected cannot be asked any more
	GapHandoverTimeout GapCause = "handover_timeout" // no other replica connected in time when one stopped
	GapStart           GapCause = "start"            // no replica was left when the last one stopped
)

// Msg returns the message of a gap, below the connector's prefix.
func (g Gap) Msg(prefix string) *nats.Msg {
	return bridgeMsg(KindGap.Subject(prefix), g.ID, g.Subscription, g)
}

// ParseGap reads the body of a gap's message that was stored at a time, and bounds what
// it says.
func ParseGap(body []byte, stored time.Time) (Gap, error) {
	var g Gap
	if err := decode(body, &g, KindGap); err != nil {
		return Gap{}, err
	}
	if err := g.Bound(stored.Add(clockSkew)); err != nil {
		return Gap{}, err
	}
	return g, nil
}

// Bound cuts a gap of whatever origin to what can have been up to the latest time. It
// is an error if it is none. [ParseGap] has done so.
func (g *Gap) Bound(latest time.Time) error {
	switch {
	case g.To.Before(earliest):
		return errors.New("message: a gap without an end")
	case g.Epoch >= MaxNumber:
		return fmt.Errorf("message: a gap of epoch %d: there are never so many", g.Epoch)
	}
	from, to := Clamp(g.From, latest), Clamp(g.To, latest)
	if from.IsZero() || from.After(to) {
		from = to
	}
	g.Impossible = !from.Equal(g.From) || !to.Equal(g.To)
	g.From, g.To, g.Milliseconds = from, to, to.Sub(from).Milliseconds()
	shorten(&g.Subscription, (*string)(&g.Cause), &g.Detail, &g.PreviousReplica, &g.Replica, &g.ID)
	return nil
}

// Lasted returns how long the gap was.
func (g Gap) Lasted() time.Duration { return g.To.Sub(g.From) }

// bridgeMsg makes a message with a JSON body.
func bridgeMsg(subject, id, subscription string, body any) *nats.Msg {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // they are structs of text, numbers and times of this era
	}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{HeaderID: {id}}, Data: data}
	if subscription != "" {
		msg.Header[HeaderSubscription] = []string{subscription}
	}
	return msg
}
