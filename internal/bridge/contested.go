package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/message"
)

const (
	// handoverGrace is how long a new leader may still be displaced once by what its
	// predecessor had begun, without that being a stranger.
	handoverGrace = 3 * time.Second
	// lastingAfter is how long a connection must live after a displacement, at least, until
	// nobody else seems to use the subscription.
	lastingAfter = time.Minute
)

const contestedDetail = "somebody else connects to this subscription, and each side takes the events away from the other; " +
	"find and stop it (another program, another cluster, a laptop)"

// contest is a fight over the subscription with a stranger: a laptop, a second cluster.
// Both lose events by it, so this side pauses ever longer before it connects again. Only
// the connector's goroutine uses it, but for adopt.
type contest struct {
	b         *Bridge
	backoff   *backoff.ExponentialBackOff
	started   time.Time
	lastPause time.Duration
	displaced int              // how often, since the last connection that has lasted
	timer     <-chan time.Time // of lasted; nil: it is not set

	adopted chan struct{} // the alarm was raised by the previous term
}

func newContest(b *Bridge) *contest {
	return &contest{b: b, started: time.Now(), backoff: newBackoff(2*time.Second, 5*time.Minute), adopted: make(chan struct{}, 1)}
}

// adopt takes over the alarm of the previous term: this term clears it when a connection
// has lasted. It is safe for concurrent use.
func (c *contest) adopt() {
	select {
	case c.adopted <- struct{}{}:
	default:
	}
}

// handleDisplaced raises the alarm, since a stranger has connected, and returns the pause
// before connecting again.
func (c *contest) handleDisplaced(ctx context.Context) time.Duration {
	c.lastPause = c.backoff.NextBackOff()
	c.timer = nil
	c.displaced++
	byPredecessor := c.displaced == 1 && time.Since(c.started) < handoverGrace && c.b.standbys() > 0
	if !byPredecessor {
		c.b.raiseAlarm(ctx, message.AlarmContested, contestedDetail)
	}
	return c.lastPause
}

// handleConnected starts anew to wait for a connection that lasts.
func (c *contest) handleConnected() { c.timer = nil }

// lasted fires when a connection has lived long enough after a displacement. It is nil
// if the alarm is not raised.
func (c *contest) lasted() <-chan time.Time {
	if c.timer == nil && slices.Contains(c.b.raisedAlarms(), message.AlarmContested) {
		c.timer = time.After(max(lastingAfter, 2*c.lastPause))
	}
	return c.timer
}

func (c *contest) clear(ctx context.Context) {
	c.timer, c.displaced = nil, 0
	c.backoff.Reset()
	c.b.clearAlarm(ctx, message.AlarmContested, "the connection has lasted")
}
