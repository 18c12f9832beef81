package outbox

import (
	"context"
	"fmt"
	"time"
)

const (
	// drainGrace is how long Drain waits for NATS although everything is on disk.
	drainGrace = 2 * time.Second
	// drainPeriod is how often Drain checks.
	drainPeriod = 20 * time.Millisecond
)

// Drain waits until everything is stored in the stream. Call it when nothing more is
// published. If publishing pauses, Drain returns after 2 s provided that the rest is on
// disk: the next run publishes it. It also returns nil if the rest is on disk when ctx or
// Run ends. Otherwise the error says how many received messages are neither stored nor on
// disk, and are lost.
func (o *Outbox) Drain(ctx context.Context) error {
	tick := time.NewTicker(drainPeriod)
	defer tick.Stop()
	began := time.Now()
	for {
		left, unsafe, trouble := o.unstored()
		if left == 0 {
			return nil
		}
		over := ctx.Err() != nil || trouble && time.Since(began) > drainGrace
		if over && unsafe == 0 {
			o.opt.Log.Warn().Str("code", "spool.left").Int("events", left).Str("dir", o.opt.SpoolDir).Msg("NATS does not take all events; the rest stays in the spool, and the next run publishes it")
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if unsafe > 0 {
				return fmt.Errorf("%d received messages are lost: %w", unsafe, o.unsafeReason())
			}
		case <-o.done:
			if unsafe == 0 {
				return nil
			}
			return fmt.Errorf("%d received messages are lost: %w", unsafe, o.unsafeReason())
		}
	}
}

// unstored counts the messages that are not stored in the stream, and, as unsafe, those of
// them that were received and are not on disk either. trouble is whether publishing pauses.
func (o *Outbox) unstored() (left, unsafe int, trouble bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unacked(func(e *entry) bool {
		left++
		if e.record == 0 && e.line != nil {
			unsafe++
		}
		return true
	})
	left += o.waiting.len() + int(o.records.last+1-o.records.next)
	for _, e := range o.waiting.all() {
		if e.line != nil { // otherwise it is an alarm of ours
			unsafe++
		}
	}
	return left, unsafe, o.trouble != nil
}
