package outbox

import (
	"context"
	"fmt"
	"time"
)

const (
	// drainGrace is how long Drain waits for NATS although all is on disk.
	drainGrace = 2 * time.Second
	// drainPeriod is how often it looks.
	drainPeriod = 20 * time.Millisecond
)

// Drain waits until all is stored in the stream, when nothing more is published.
// If NATS does not take it, Drain is content a little later with what is on disk,
// which the next run publishes. Its error says how many messages are neither here
// nor there.
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

// unstored counts what is not stored in the stream, and what was received of that and is
// not on disk either.
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
		if e.line != nil { // else it is an alarm of ours
			unsafe++
		}
	}
	return left, unsafe, o.trouble != nil
}
