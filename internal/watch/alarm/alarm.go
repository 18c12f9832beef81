// Package alarm keeps the raised alarms and posts them to a webhook.
//
// The code that detects an alarm raises and clears it on the Board. The webhook's endpoint gets the
// latest news of each alarm, by these rules:
//
//   - An alarm belongs to a term, or to the process. When the term ends, the record of what the
//     endpoint knows of its alarms is forgotten, and messages still waiting are dropped with a
//     log line. The next leader reports once what is still raised.
//   - A process that stops does not end its alarms: it reports that nobody watches them any more.
//   - A raised alarm is reported at most every five minutes. A cleared alarm is reported only if
//     the endpoint may know that it was raised.
//   - An endpoint with another URL knows nothing: it gets all raised alarms.
package alarm

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/message"
)

// Alarm is a raised alarm.
type Alarm struct {
	Alarm        string    `json:"alarm"`
	Subscription string    `json:"subscription,omitempty"` // empty: the whole replica
	Replica      string    `json:"replica"`
	Epoch        uint64    `json:"epoch,omitempty"` // epoch of the term that raised it
	Since        time.Time `json:"since"`
	Detail       string    `json:"detail"`
}

// Board is the single record of raised alarms. The code that detects an alarm asks the board and
// publishes to the stream what the board reports as new. It is safe for concurrent use.
type Board struct {
	replica string
	raised  func(name string) // called for each newly raised alarm
	webhook *Webhook          // gets changes; nil: there is none
	log     zerolog.Logger

	mu  sync.Mutex
	all map[key]entry
}

type key struct{ name, subscription string }

// entry is a raised alarm. With left it is still raised in the stream, but another replica is
// responsible for it.
type entry struct {
	Alarm
	left bool
}

// NewBoard returns a Board without alarms. raised is called for each newly raised alarm; it may be
// nil, as may webhook.
func NewBoard(replica string, raised func(name string), webhook *Webhook, log zerolog.Logger) *Board {
	if raised == nil {
		raised = func(string) {}
	}
	return &Board{replica: replica, raised: raised, webhook: webhook, log: log, all: make(map[key]entry)}
}

// Raise raises an alarm, or updates its detail, and reports whether it was not raised before.
// Without a subscription and an epoch it is the whole replica's. A later epoch takes over an alarm
// that an earlier one raised.
func (b *Board) Raise(name, subscription string, epoch uint64, detail string, at time.Time) bool {
	return b.raise(raised, name, subscription, epoch, detail, at)
}

// Adopt is Raise for an alarm that the subscription's previous leader or an earlier run of this
// replica has published already.
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

// Clear clears an alarm that this epoch has raised or taken over, and reports whether there was
// one.
func (b *Board) Clear(name, subscription string, epoch uint64, detail string, at time.Time) bool {
	return b.clear(over, name, subscription, epoch, detail, at)
}

// Withdraw is Clear for an alarm of the process that is raised again at once. The webhook gets only
// the new alarm.
func (b *Board) Withdraw(name, detail string, at time.Time) bool {
	return b.clear(nothing, name, "", 0, detail, at)
}

// Abandon is Clear for an alarm of the process that is still raised when the process stops.
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

// notice builds the message for the webhook: the one that the stream gets, and what to tell people
// about it.
func (b *Board) notice(as what, k key, epoch uint64, detail string, at time.Time) notice {
	return notice{as, message.Alarm{
		Name: k.name, Raised: as == raised || as == stillRaised, Subscription: k.subscription, Replica: b.replica, Epoch: epoch, At: at.UTC(), Detail: detail,
	}}
}

// Leave ends an epoch: its alarms stay raised in the stream, and the next leader is responsible for
// them.
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

// Of returns the names of an epoch's alarms, sorted, even after the epoch has ended.
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

// Lasted says how long an alarm of the process has been raised, as the detail of its end when
// nothing else is known.
func (b *Board) Lasted(name string, at time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return "it lasted " + at.Sub(b.all[key{name, ""}].Since).Round(time.Second).String()
}

// Raised returns the raised alarms, oldest first.
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
