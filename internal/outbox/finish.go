package outbox

import (
	"context"
	"fmt"
	"time"
)

const (
	// grace is how long Finish waits for NATS although all is on disk.
	grace = 2 * time.Second
	// finishPeriod is how often it looks.
	finishPeriod = 20 * time.Millisecond
)

// Finish waits until all is stored in the stream, when nothing more is published.
// If NATS does not take it, Finish is content a little later with what is on disk,
// which the next run publishes. Its error says how many messages are neither here
// nor there.
func (p *Outbox) Finish(ctx context.Context) error {
	tick := time.NewTicker(finishPeriod)
	defer tick.Stop()
	began := time.Now()
	for {
		left, unsafe, trouble := p.left()
		if left == 0 {
			return nil
		}
		over := ctx.Err() != nil || trouble && time.Since(began) > grace
		if over && unsafe == 0 {
			p.opt.Log.Warn().Str("code", "spool.left").Int("events", left).Str("dir", p.opt.SpoolDir).Msg("NATS does not take all events; the rest stays in the spool, and the next run publishes it")
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if unsafe > 0 {
				return fmt.Errorf("%d received messages are lost: %w", unsafe, p.why())
			}
		case <-p.done:
			if unsafe == 0 {
				return nil
			}
			return fmt.Errorf("%d received messages are lost: %w", unsafe, p.why())
		}
	}
}

// left counts what is not stored in the stream, and what was received of that and is
// not on disk either.
func (p *Outbox) left() (left, unsafe int, trouble bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unacked(func(e *entry) bool {
		left++
		if e.record == 0 && e.line != nil {
			unsafe++
		}
		return true
	})
	left += p.waiting.len() + int(p.records.last+1-p.records.next)
	for _, e := range p.waiting.all() {
		if e.line != nil { // else it is an alarm of ours
			unsafe++
		}
	}
	return left, unsafe, p.trouble != nil
}
