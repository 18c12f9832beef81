package message

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Alarm is the raising or clearing of an alarm.
type Alarm struct {
	// Name of the alarm; see below.
	Name string `json:"alarm"`
	// Whether the alarm is raised; false: it is cleared.
	Raised bool `json:"raised"`
	// Id of the event subscription. Absent from alarms of a whole replica.
	Subscription string `json:"subscription,omitempty"`
	// Name of the replica that reports it.
	Replica string `json:"replica"`
	// Epoch of its term. Absent from alarms of a whole replica.
	Epoch uint64 `json:"epoch,omitempty"`
	// When it was raised or cleared.
	At time.Time `json:"at"`
	// Why, for people.
	Detail string `json:"detail"`
}

// The alarms of a subscription. The next leader clears those that no longer apply. Later
// versions may add alarms.
const (
	AlarmLate      = "late"      // most of the latest events were received long after they happened
	AlarmSilent    = "silent"    // connected, but no event for a long time
	AlarmContested = "contested" // somebody else connects to the subscription
)

// The alarms of a whole replica.
const (
	AlarmToken     = "token"      // Zoom issues no access token
	AlarmStream    = "stream"     // the stream accepts no events: it is gone, full, sealed, or not permitted; or a bucket is gone
	AlarmSpooling  = "spooling"   // NATS has accepted no events for a while, or is unavailable: they are kept on disk or in memory
	AlarmSpool     = "spool"      // the spool cannot be used, or has lost something
	AlarmSpoolFull = "spool-full" // the spool is at its size limit
	AlarmConsumers = "consumers"  // a consumer of the stream is about to lose events, or is stuck on one message
)

// SubscriptionAlarms returns the names of a subscription's alarms.
func SubscriptionAlarms() []string { return []string{AlarmLate, AlarmSilent, AlarmContested} }

// ReplicaAlarms returns the names of a whole replica's alarms.
func ReplicaAlarms() []string {
	return []string{AlarmToken, AlarmStream, AlarmSpooling, AlarmSpool, AlarmSpoolFull, AlarmConsumers}
}

// Msg returns the alarm as a message below the connector's prefix.
func (a Alarm) Msg(prefix string) *nats.Msg {
	id := fmt.Sprintf("alarm:%s:%s:%s:%d:%d", a.Name, a.Subscription, a.Replica, a.Epoch, a.At.UnixNano())
	return bridgeMsg(KindAlarm.Subject(prefix), id, a.Subscription, a)
}

// ParseAlarm parses the body of an alarm's message that the stream stored at the given
// time, and bounds what it says: texts to [MaxText] bytes, and At by [Clamp] to a minute
// after stored at the latest. A missing At becomes stored. It is an error if the body is over
// 64 KiB, is not JSON, has no name, or has an epoch of [MaxNumber] or more.
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
