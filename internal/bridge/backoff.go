package bridge

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/internal/zoom"
)

// redialBackoff is the backoff between connections. It grows until a session was useful.
// After a refused token there is no pause but Zoom's Retry-After: the token source has a
// backoff of its own. After a dial that this side gave up there is none: the next one waits
// until the term is trusted.
type redialBackoff struct{ growing *backoff.ExponentialBackOff }

func newRedialBackoff() *redialBackoff {
	return &redialBackoff{newBackoff(100*time.Millisecond, 30*time.Second)}
}

func newBackoff(first, longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(first), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(longest), backoff.WithMaxElapsedTime(0))
}

// next is the pause after a session or dial that ended with err.
func (p *redialBackoff) next(useful bool, err error) time.Duration {
	if useful {
		p.growing.Reset()
	}
	switch causeOf(err) {
	case zoom.CauseRefused: // getting another token takes its time already
		return retryAfter(err)
	case zoom.CauseStopped:
		return 0
	}
	return max(p.growing.NextBackOff(), retryAfter(err))
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*zoom.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

func causeOf(err error) zoom.Cause {
	if e, ok := errors.AsType[*zoom.Error](err); ok {
		return e.Cause
	}
	return zoom.CauseToken
}
