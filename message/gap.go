package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Gap is an interval in which no connection of a subscription was live: what Zoom sent
// in it is lost. Its message is stored before the first event after the gap, unless NATS
// is unavailable at that moment.
type Gap struct {
	// Id of the event subscription.
	Subscription string `json:"subscription"`
	// No later than when Zoom sent the first event that may be lost. An event counts as lost if it was received and
	// neither stored nor on disk, so this may be earlier than the last sign of life.
	From time.Time `json:"from"`
	// When the next connection was ready.
	To time.Time `json:"to"`
	// The length of the gap in milliseconds.
	Milliseconds int64 `json:"duration_ms"`
	// Why there was no connection; see below.
	Cause GapCause `json:"cause"`
	// More about the cause, for people. Absent if nothing more is known.
	Detail string `json:"detail,omitempty"`
	// False if the previous replica may have been connected all the time: because it could not be asked, as after a
	// crash, because it could not see who displaced it, or because it closed its connection while this one was opening.
	Certain bool `json:"certain"`
	// Name of the replica that was connected before; `?` if that is not known.
	PreviousReplica string `json:"previous_replica"`
	// Name of the replica that connected next.
	Replica string `json:"replica"`
	// Epoch of that replica's term.
	Epoch uint64 `json:"epoch"`
	// Identifies the connections before and after the gap; also the message's id. A gap that is reported twice has the
	// same id both times.
	ID string `json:"id"`

	// Impossible reports that the message had impossible times, and that From and To are
	// the nearest possible ones.
	Impossible bool `json:"-"`
}

// GapCause is why there was no connection. Later versions may add causes.
type GapCause string

// The causes of a gap.
const (
	GapDisconnected    GapCause = "disconnected"     // the connection ended, and the same replica opened the next one
	GapKicked          GapCause = "kicked"           // somebody else connected to the subscription
	GapCrash           GapCause = "crash"            // the replica that was connected can no longer be asked
	GapHandoverTimeout GapCause = "handover_timeout" // a replica stopped, and no other one connected in time
	GapStart           GapCause = "start"            // the last replica stopped, and no other one was there
)

// Msg returns the gap marker: the gap as a message below the connector's prefix.
func (g Gap) Msg(prefix string) *nats.Msg {
	return bridgeMsg(KindGap.Subject(prefix), g.ID, g.Subscription, g)
}

// ParseGap parses the body of a gap marker that the stream stored at the given time, and
// bounds what it says as [Gap.Bound] does. Its end may be a minute after stored: clocks
// differ. It is an error if the body is over 64 KiB, is not JSON, or is no gap.
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

// Bound limits a gap of any origin to what is possible: times up to latest, and texts of
// [MaxText] bytes. It returns an error for a gap without an end or with an epoch of
// [MaxNumber] or more. [ParseGap] calls it.
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

// Lasted returns the length of the gap.
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
