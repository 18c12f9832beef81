// Package alarm knows which alarms are raised, and tells a webhook of them.
package alarm

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/message"
)

// Alarm is an alarm that is raised.
type Alarm struct {
	Alarm        string    `json:"alarm"`
	Subscription string    `json:"subscription,omitempty"` // empty: all of the replica's
	Replica      string    `json:"replica"`
	Epoch        uint64    `json:"epoch,omitempty"` // of the leadership that has raised it
	Since        time.Time `json:"since"`
	Detail       string    `json:"detail"`
}

// Board is the one place that knows which alarms are raised. Whoever judges an alarm
// asks it, and tells the stream what it says is new. It may be used concurrently.
type Board struct {
	replica string
	raised  func(name string) // is told of each
	webhook *Webhook          // is told of what changes; nil: there is none
	log     zerolog.Logger

	mu  sync.Mutex
	all map[key]entry
}

type key struct{ name, subscription string }

// entry is an alarm that is raised. One that is left is raised in the stream, and
// another replica answers for it.
type entry struct {
	Alarm
	left bool
}

// NewBoard returns a Board without an alarm. raised is told of each that is
// raised, and may be nil, as may the webhook.
func NewBoard(replica string, raised func(name string), webhook *Webhook, log zerolog.Logger) *Board {
	if raised == nil {
		raised = func(string) {}
	}
	return &Board{replica: replica, raised: raised, webhook: webhook, log: log, all: make(map[key]entry)}
}

// Raise notes an alarm, or what is new about it, and reports whether it was not raised
// before. Without a subscription and an epoch it is of the whole replica. A later epoch
// takes over what an earlier one raised.
func (b *Board) Raise(name, subscription string, epoch uint64, detail string, at time.Time) bool {
	isNew := b.raise(name, subscription, epoch, detail, at)
	if isNew {
		b.webhook.tell(b.message(name, subscription, epoch, true, detail, at))
	}
	return isNew
}

// Adopt is Raise for an alarm that somebody else has told of: the previous leader of the
// subscription, or an earlier run of this replica.
func (b *Board) Adopt(name, subscription string, epoch uint64, detail string, at time.Time) {
	b.raise(name, subscription, epoch, detail, at)
	b.webhook.adopt(key{name, subscription})
}

func (b *Board) raise(name, subscription string, epoch uint64, detail string, at time.Time) (isNew bool) {
	b.mu.Lock()
	k := key{name, subscription}
	a, known := b.all[k]
	if known = known && !a.left; !known {
		a = entry{Alarm: Alarm{Alarm: name, Subscription: subscription, Replica: b.replica, Since: at.UTC()}}
	}
	if epoch >= a.Epoch {
		a.Detail, a.Epoch = detail, epoch
	}
	b.all[k] = a
	b.mu.Unlock()
	if !known {
		b.raised(name)
		b.event(b.log.Error(), name, subscription).Str("code", "alarm.raised").Str("detail", detail).Msg("alarm raised")
	}
	return !known
}

// Clear takes an alarm back that this epoch has raised or taken over, and reports
// whether there was one.
func (b *Board) Clear(name, subscription string, epoch uint64, detail string, at time.Time) bool {
	if !b.drop(name, subscription, epoch) {
		return false
	}
	b.event(b.log.Info(), name, subscription).Str("code", "alarm.cleared").Str("detail", detail).Msg("alarm cleared")
	b.webhook.tell(b.message(name, subscription, epoch, false, detail, at))
	return true
}

// message is what the stream is told, too.
func (b *Board) message(name, subscription string, epoch uint64, raised bool, detail string, at time.Time) message.Alarm {
	return message.Alarm{Name: name, Raised: raised, Subscription: subscription, Replica: b.replica, Epoch: epoch, At: at.UTC(), Detail: detail}
}

func (b *Board) drop(name, subscription string, epoch uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := key{name, subscription}
	if a, known := b.all[k]; !known || a.left || a.Epoch != epoch {
		return false
	}
	delete(b.all, k)
	return true
}

// Leave is told that an epoch is over: its alarms stay raised in the stream, and
// whoever leads next answers for them.
func (b *Board) Leave(subscription string, epoch uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, a := range b.all {
		if k.subscription == subscription && a.Epoch == epoch {
			a.left = true
			b.all[k] = a
			b.webhook.leave(k)
		}
	}
}

// Of are the names of the alarms of an epoch, in order, also of one that is over.
func (b *Board) Of(subscription string, epoch uint64) (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, a := range b.all {
		if k.subscription == subscription && a.Epoch == epoch {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// Raised are the alarms that are raised, oldest first.
func (b *Board) Raised() []Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Alarm, 0, len(b.all))
	for _, a := range b.all {
		if !a.left {
			all = append(all, a.Alarm)
		}
	}
	slices.SortFunc(all, func(x, y Alarm) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Alarm, y.Alarm), cmp.Compare(x.Subscription, y.Subscription))
	})
	return all
}

func (b *Board) event(e *zerolog.Event, name, subscription string) *zerolog.Event {
	if subscription != "" {
		e.Str("subscription", subscription)
	}
	return e.Str("alarm", name)
}
