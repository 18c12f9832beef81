package bridge

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/message"
)

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

// raise raises an alarm of the subscription: here, and in the stream if it is new.
func (b *Bridge) raise(ctx context.Context, name, detail string) {
	if b.cfg.Alarms.Board.Raise(name, b.cfg.Subscription, b.cfg.Term.Epoch, detail, b.cfg.Clock(time.Now())) {
		b.publishAlarm(ctx, name, true, detail)
	}
}

// clear takes an alarm back if it is raised. When the term is over, that is for whoever
// leads now.
func (b *Bridge) clear(ctx context.Context, name, detail string) {
	if !b.termEnded.Load() && b.cfg.Alarms.Board.Clear(name, b.cfg.Subscription, b.cfg.Term.Epoch, detail) {
		b.publishAlarm(ctx, name, false, detail)
	}
}

func (b *Bridge) publishAlarm(ctx context.Context, name string, raised bool, detail string) {
	b.journal.touch()                                                    // the state tells, too
	b.publish(ctx, b.alarmMessage(name, raised, detail), outbox.Times{}) //nolint:errcheck // the log has it
}

// raised are the names of the term's alarms that are raised.
func (b *Bridge) raisedAlarms() []string {
	return b.cfg.Alarms.Board.Of(b.cfg.Subscription, b.cfg.Term.Epoch)
}

// inherit goes on with the alarms that the term before has left raised: whoever
// judges them next clears them in the stream.
func (b *Bridge) adoptAlarms(names []string) {
	for _, name := range names {
		b.cfg.Alarms.Board.Raise(name, b.cfg.Subscription, b.cfg.Term.Epoch, "raised by the leader before; to be judged anew", b.cfg.Clock(time.Now()))
		if name == message.AlarmContested {
			b.contest.inherit()
		}
	}
}

func (b *Bridge) alarmMessage(name string, raised bool, detail string) *nats.Msg {
	return message.Alarm{
		Name: name, Raised: raised, Subscription: b.cfg.Subscription, Replica: b.cfg.Term.Replica, Epoch: b.cfg.Term.Epoch,
		At: b.cfg.Clock(time.Now()).UTC(), Detail: detail,
	}.Msg(b.cfg.Stream.Prefix)
}
