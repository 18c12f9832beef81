package bridge

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const subjectAlarm = "._bridge.alarm"

// Alarm is the body of a message that raises or clears an alarm.
type Alarm struct {
	Name         string    `json:"alarm"`
	Raised       bool      `json:"raised"`                 // false: cleared
	Subscription string    `json:"subscription,omitempty"` // empty: all of the replica's
	Replica      string    `json:"replica"`
	Epoch        uint64    `json:"epoch,omitempty"`
	At           time.Time `json:"at"`
	Detail       string    `json:"detail"`
}

// AlarmContested says that somebody else connects to the subscription.
const AlarmContested = "contested"

// AlarmMessage is the message of an alarm.
func AlarmMessage(prefix string, a Alarm) *nats.Msg {
	id := fmt.Sprintf("alarm:%s:%s:%s:%d:%d", a.Name, a.Subscription, a.Replica, a.Epoch, a.At.UnixNano())
	return control(prefix+subjectAlarm, id, a.Subscription, a)
}

func (b *Bridge) alarmMessage(name string, raised bool, detail string) *nats.Msg {
	return AlarmMessage(b.cfg.Prefix, Alarm{
		Name: name, Raised: raised, Subscription: b.cfg.Subscription, Replica: b.cfg.Replica, Epoch: b.cfg.Epoch,
		At: b.clock(time.Now()).UTC(), Detail: detail,
	})
}
