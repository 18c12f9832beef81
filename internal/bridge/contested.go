package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/message"
)

const (
	// handoverGrace is how long after the start of the term a first displacement may come
	// from a dial that the predecessor had begun, rather than from a stranger.
	handoverGrace = 3 * time.Second
	// lastingAfter is the shortest time for which a connection must live after a
	// displacement before nobody else seems to use the subscription.
	lastingAfter = time.Minute
)

const contestedDetail = "somebody else connects to this subscription, and each side takes the events away from the other; " +
	"find and stop it (another program, another cluster, a laptop)"

// contest is a fight over the subscription with a stranger, such as a laptop or a second
// cluster. Both sides lose events in it, so this side backs off before it connects again.
// Only the connector's goroutine uses it, except for adopt.
type contest struct {
	b         *Bridge
	backoff   *backoff.ExponentialBackOff
	started   time.Time
	lastPause time.Duration
	displaced int              // displacements since the last connection that lasted
	timer     <-chan time.Time // of lasted; nil: it is not set

	adopted chan struct{} // the alarm was raised by the previous term
}

func newContest(b *Bridge) *contest {
	return &contest{b: b, started: time.Now(), backoff: newBackoff(2*time.Second, 5*time.Minute), adopted: make(chan struct{}, 1)}
}

// adopt takes over the alarm of the previous term, so that this term clears it once a
// connection has lasted. It is safe for concurrent use.
func (c *contest) adopt() {
	select {
	case c.adopted <- struct{}{}:
	default:
	}
}

// handleDisplaced raises the alarm, unless the predecessor probably caused the displacement,
// and returns the pause before connecting again.
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

// handleConnected restarts the wait for a connection that lasts.
func (c *contest) handleConnected() { c.timer = nil }

// lasted returns a channel that fires once the connection has lived long enough after a
// displacement, or nil if the alarm is not raised.
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
