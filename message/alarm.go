package message

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Alarm says that an alarm is raised, or cleared.
type Alarm struct {
	// Name of the alarm; see below.
	Name string `json:"alarm"`
	// False: it is over.
	Raised bool `json:"raised"`
	// Id of the event subscription. Absent: it is of the whole replica.
	Subscription string `json:"subscription,omitempty"`
	// Name of the replica that says so.
	Replica string `json:"replica"`
	// Epoch of its leadership. Absent from alarms of the whole replica.
	Epoch uint64 `json:"epoch,omitempty"`
	// When it was raised or cleared.
	At time.Time `json:"at"`
	// Why, for people.
	Detail string `json:"detail"`
}

// The alarms of a subscription. Whoever leads it next clears them. A later version may
// have more.
const (
	AlarmLate      = "late"      // most of the latest events were received long after they happened
	AlarmSilent    = "silent"    // connected, and no event for long
	AlarmContested = "contested" // somebody else connects to the subscription
)

// The alarms of a whole replica.
const (
	AlarmToken     = "token"      // Zoom gives no access token
	AlarmStream    = "stream"     // the stream does not take events: it is gone, full, sealed, or not permitted; or a bucket is gone
	AlarmSpooling  = "spooling"   // NATS has not taken events for a while, or is away: they are kept on disk or in memory
	AlarmSpool     = "spool"      // the spool cannot be used, or has lost something
	AlarmSpoolFull = "spool-full" // the spool is at its bound
	AlarmConsumers = "consumers"  // a consumer of the stream is about to lose events, or stuck on one message
)

// SubscriptionAlarms returns the names of a subscription's alarms.
func SubscriptionAlarms() []string { return []string{AlarmLate, AlarmSilent, AlarmContested} }

// ReplicaAlarms returns the names of a whole replica's alarms.
func ReplicaAlarms() []string {
	return []string{AlarmToken, AlarmStream, AlarmSpooling, AlarmSpool, AlarmSpoolFull, AlarmConsumers}
}

// Msg returns the message of an alarm, below the connector's prefix.
func (a Alarm) Msg(prefix string) *nats.Msg {
	id := fmt.Sprintf("alarm:%s:%s:%s:%d:%d", a.Name, a.Subscription, a.Replica, a.Epoch, a.At.UnixNano())
	return bridgeMsg(KindAlarm.Subject(prefix), id, a.Subscription, a)
}

// ParseAlarm reads the body of an alarm's message that was stored at a time, and bounds
// what it says.
func ParseAlarm(body []byte, stored time.Time) (Alarm, error) {
	var a Alarm
	if err := decode(body, &a, KindAlarm); err != nil {
		return Alarm{}, err
	}
	switch {
	case a.Name == "":
		return Alarm{}, errors.New("message: an alarm without a name")
	case a.Epoch >= MaxNumber:
		return Alarm{}, fmt.Errorf("message: an alarm of epoch %d: there are never so many", a.Epoch)
	}
	if a.At = Clamp(a.At, stored.Add(clockSkew)); a.At.IsZero() {
		a.At = stored.UTC()
	}
	shorten(&a.Name, &a.Subscription, &a.Replica, &a.Detail)
	return a, nil
}
