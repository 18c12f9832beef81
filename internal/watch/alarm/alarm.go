// Package alarm knows which alarms are raised, and tells a webhook of them.
//
// Whoever judges an alarm raises and clears it on the Board. The webhook's endpoint is told the
// latest of each alarm, by these rules:
//
//   - An alarm belongs to a term of leadership, or to the process. When the term is over, what the
//     endpoint was told of its alarms is forgotten, and what still waits to be told is dropped, with
//     a log line. Whoever leads next tells once what is still raised.
//   - A process that stops does not end its alarms: it tells that nobody watches them any more.
//   - That an alarm is raised is told at most every five minutes. That it is over is told only if
//     the endpoint may know that it was raised.
//   - An endpoint of another URL knows nothing: it is told of all that is raised.
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
	return b.raise(raised, name, subscription, epoch, detail, at)
}

// Adopt is Raise for an alarm that somebody else has told of: the previous leader of the
// subscription, or an earlier run of this replica.
func (b *Board) Adopt(name, subscription string, epoch uint64, detail string, at time.Time) {
	b.raise(stillRaised, name, subscription, epoch, detail, at)
}

func (b *Board) raise(as what, name, subscription string, epoch uint64, detail string, at time.Time) (isNew bool) {
	b.mu.Lock()
	k := key{name, subscription}
	a, known := b.all[k]
	if known = known && !a.left; !known {
		a = entry{Alarm: Alarm{Alarm: name, Subscription: subscription, Replica: b.replica, Since: at.UTC()}}
	}
	takenOver := known && epoch > a.Epoch
	if takenOver {
		as = stillRaised
	}
	if epoch >= a.Epoch {
		a.Detail, a.Epoch = detail, epoch
	}
	b.all[k] = a
	if !known || takenOver {
		b.webhook.tell(b.notice(as, k, epoch, detail, at))
	}
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
	return b.clear(over, name, subscription, epoch, detail, at)
}

// Withdraw is Clear for an alarm of the process that is to be raised anew at once. The webhook
// is told only that.
func (b *Board) Withdraw(name, detail string, at time.Time) bool {
	return b.clear(nothing, name, "", 0, detail, at)
}

// Abandon is Clear for an alarm of the process that is raised still when the process stops.
func (b *Board) Abandon(name, detail string, at time.Time) bool {
	return b.clear(abandoned, name, "", 0, detail, at)
}

func (b *Board) clear(as what, name, subscription string, epoch uint64, detail string, at time.Time) bool {
	b.mu.Lock()
	k := key{name, subscription}
	a, known := b.all[k]
	known = known && !a.left && a.Epoch == epoch
	if known {
		delete(b.all, k)
		if as != nothing {
			b.webhook.tell(b.notice(as, k, epoch, detail, at))
		}
	}
	b.mu.Unlock()
	if known {
		b.event(b.log.Info(), name, subscription).Str("code", "alarm.cleared").Str("detail", detail).Msg("alarm cleared")
	}
	return known
}

// notice is the message that the stream gets, and what people are told.
func (b *Board) notice(as what, k key, epoch uint64, detail string, at time.Time) notice {
	return notice{as, message.Alarm{
		Name: k.name, Raised: as == raised || as == stillRaised, Subscription: k.subscription, Replica: b.replica, Epoch: epoch, At: at.UTC(), Detail: detail,
	}}
}

// Leave is told that an epoch is over: its alarms stay raised in the stream, and
// whoever leads next answers for them.
func (b *Board) Leave(subscription string, epoch uint64) {
	b.mu.Lock()
	for k, a := range b.all {
		if k.subscription == subscription && a.Epoch == epoch {
			a.left = true
			b.all[k] = a
		}
	}
	dropped := b.webhook.leave(subscription, epoch)
	b.mu.Unlock()
	for _, n := range dropped {
		b.webhook.drop(n, termOver)
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

// Lasted says for how long an alarm of the process has been raised: what is told of its end where
// nothing else is known.
func (b *Board) Lasted(name string, at time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return "it lasted " + at.Sub(b.all[key{name, ""}].Since).Round(time.Second).String()
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
