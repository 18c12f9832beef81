package bridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/alarm"
	"github.com/zoomstream/zoomstream/internal/pipeline"
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

// alarmOff is why an alarm is cleared that the term before has raised under other
// settings.
const alarmOff = "this replica does not judge it: the alarm is off"

// watchPeriod is how often the alarms are judged.
const watchPeriod = 2 * time.Second

// watch judges the alarms late and silent until the context ends.
func (b *Bridge) watch(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	silence := newSilence(b)
	defer silence.end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.judgeLate(ctx)
		silence.judge(ctx)
	}
}

// raised are the alarms of a term.
type raised struct {
	mu  sync.Mutex
	all map[string]bool
}

// set notes whether an alarm is raised, and reports whether that is new.
func (r *raised) set(name string, is bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[string]bool)
	}
	was := r.all[name]
	r.all[name] = is
	return was != is
}

// list are the names of those that are raised.
func (r *raised) list() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, is := range r.all {
		if is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// raise raises an alarm of the subscription: here, and in the stream if it is new.
func (b *Bridge) raise(ctx context.Context, name, detail string) {
	b.cfg.Alarms.Raise(name, b.cfg.Subscription, b.cfg.Epoch, detail, b.clock(time.Now()))
	if b.raised.set(name, true) {
		b.say(ctx, name, true, detail)
	}
}

// clear takes an alarm back if it is raised. When the term is over, that is for whoever
// leads now.
func (b *Bridge) clear(ctx context.Context, name, detail string) {
	if !b.over.Load() && b.raised.set(name, false) {
		b.cfg.Alarms.Clear(name, b.cfg.Subscription, b.cfg.Epoch, detail)
		b.say(ctx, name, false, detail)
	}
}

func (b *Bridge) say(ctx context.Context, name string, raised bool, detail string) {
	b.journal.change(func(*State) {})                                     // the state tells, too
	b.publish(ctx, b.alarmMessage(name, raised, detail), pipeline.Note{}) //nolint:errcheck // the log has it
}

// inherit goes on with the alarms that the term before has left raised: whoever
// judges them next clears them in the stream.
func (b *Bridge) inherit(names []string) {
	for _, name := range names {
		b.raised.set(name, true)
		b.cfg.Alarms.Raise(name, b.cfg.Subscription, b.cfg.Epoch, "raised by the leader before; to be judged anew", b.clock(time.Now()))
		if name == alarm.Contested {
			b.contest.inherit()
		}
	}
}

// dropAlarms forgets the alarms of a term that is over: they stay raised in the
// stream, and whoever leads next goes on with them.
func (b *Bridge) dropAlarms() {
	for _, name := range alarm.OfSubscription {
		b.cfg.Alarms.Drop(name, b.cfg.Subscription, b.cfg.Epoch)
	}
}

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
