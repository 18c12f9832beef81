package bridge

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/message"
)

// alarmOff is the reason for clearing an alarm that the previous term raised under other
// settings.
const alarmOff = "this replica does not check for it: the alarm is off"

// alarmPeriod is how often the alarms late and silent are checked.
const alarmPeriod = 2 * time.Second

// runAlarms raises and clears the alarms late and silent until the context ends.
func (b *Bridge) runAlarms(ctx context.Context) {
	tick := time.NewTicker(alarmPeriod)
	defer tick.Stop()
	silence := newSilence(b)
	defer silence.saveLast()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.checkLateness(ctx)
		silence.check(ctx)
	}
}

// raiseAlarm raises an alarm of the subscription on the board and, if it is new, in the
// stream.
func (b *Bridge) raiseAlarm(ctx context.Context, name, detail string) {
	at := b.cfg.Clock(time.Now())
	if b.cfg.Alarms.Board.Raise(name, b.cfg.Subscription, b.cfg.Term.Epoch, detail, at) {
		b.publishAlarm(ctx, name, true, detail, at)
	}
}

// clearAlarm clears an alarm if it is raised. After the end of the term it does nothing:
// clearing is up to the next leader.
func (b *Bridge) clearAlarm(ctx context.Context, name, detail string) {
	at := b.cfg.Clock(time.Now())
	if !b.termEnded.Load() && b.cfg.Alarms.Board.Clear(name, b.cfg.Subscription, b.cfg.Term.Epoch, detail, at) {
		b.publishAlarm(ctx, name, false, detail, at)
	}
}

func (b *Bridge) publishAlarm(ctx context.Context, name string, raised bool, detail string, at time.Time) {
	b.journal.touch() // the state contains the names of raised alarms
	msg := message.Alarm{
		Name: name, Raised: raised, Subscription: b.cfg.Subscription, Replica: b.cfg.Term.Replica, Epoch: b.cfg.Term.Epoch,
		At: at.UTC(), Detail: detail,
	}.Msg(b.cfg.Stream.Prefix)
	b.publish(ctx, msg, outbox.Times{}) //nolint:errcheck // the log has it
}

// raisedAlarms returns the names of the term's raised alarms.
func (b *Bridge) raisedAlarms() []string {
	return b.cfg.Alarms.Board.Of(b.cfg.Subscription, b.cfg.Term.Epoch)
}

// leaveAlarms leaves the term's alarms raised for the next leader.
func (b *Bridge) leaveAlarms() { b.cfg.Alarms.Board.Leave(b.cfg.Subscription, b.cfg.Term.Epoch) }

// adoptAlarms takes over the alarms that the previous term left raised. This term clears
// them in the stream once they no longer apply.
func (b *Bridge) adoptAlarms(names []string) {
	for _, name := range names {
		b.cfg.Alarms.Board.Adopt(name, b.cfg.Subscription, b.cfg.Term.Epoch, "raised by the previous leader; to be checked again", b.cfg.Clock(time.Now()))
		if name == message.AlarmContested {
			b.contest.adopt()
		}
	}
}
