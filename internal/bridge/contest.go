package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/message"
)

// settleTime is how long a new leader's connection may still be displaced by what
// the leader before it had begun, once, without that meaning anything.
const settleTime = 3 * time.Second

// calmAfter is how long a connection must live after a displacement, at least,
// until nobody else seems to use the subscription.
const calmAfter = time.Minute

const contestedDetail = "somebody else connects to this subscription, and each side takes the events away from the other; " +
	"find and stop it (another program, another cluster, a laptop)"

// contest is a fight over the subscription with a stranger: a laptop, a second
// cluster. Both lose events by it, so this side lets ever more time pass. Only
// connectLoop's goroutine uses it, but for inherit.
type contest struct {
	b     *Bridge
	pause *backoff.ExponentialBackOff
	began time.Time
	last  time.Duration
	times int
	timer <-chan time.Time

	inherited chan struct{} // it was raised in the term before
}

func newContest(b *Bridge) *contest {
	return &contest{b: b, began: time.Now(), pause: growing(2*time.Second, 5*time.Minute), inherited: make(chan struct{}, 1)}
}

// inherit goes on with an alarm of the term before: it is cleared when a
// connection has lasted, whoever holds it. Any goroutine may call it.
func (c *contest) inherit() {
	select {
	case c.inherited <- struct{}{}:
	default:
	}
}

// displaced is told that a stranger has connected, and returns the pause before
// connecting again.
func (c *contest) displaced(ctx context.Context) time.Duration {
	c.last = c.pause.NextBackOff()
	c.timer = nil
	c.times++
	settling := c.times == 1 && time.Since(c.began) < settleTime && c.b.standbys() > 0
	if !settling {
		c.b.raise(ctx, message.AlarmContested, contestedDetail)
	}
	return c.last
}

// connected is told of each connection: only one that lasts makes calm.
func (c *contest) connected() { c.timer = nil }

// calm fires when a connection has lived long enough after a displacement.
func (c *contest) calm() <-chan time.Time {
	if c.timer == nil && slices.Contains(c.b.raisedAlarms(), message.AlarmContested) {
		c.timer = time.After(max(calmAfter, 2*c.last))
	}
	return c.timer
}

func (c *contest) clear(ctx context.Context) {
	c.timer, c.times = nil, 0
	c.pause.Reset()
	c.b.clear(ctx, message.AlarmContested, "the connection has lasted")
}
