package forward

import (
	"context"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
)

// attemptsOfEvent bounds the attempts for an event that the endpoint rejects as wrong (400, 413,
// 415, 422). Repeating the same bytes seldom helps, and all later events wait meanwhile. Any other
// refusal concerns the endpoint: otherwise one that answers 404 during a roll-out would at once
// lose its events to the dead letters.
const attemptsOfEvent = 3

// attempt delivers a message. It returns the last refusal when it gives the message up, or an error
// when it was stopped before. stopping ends the pauses and prevents further attempts; work also
// ends the attempt in progress.
func (f *forwarder) attempt(stopping, work context.Context, m *inspect.Message) (*webhook.Refusal, error) {
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(f.pace.firstPause), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(f.pace.longestPause), backoff.WithMaxElapsedTime(0))
	for n := 1; ; n++ {
		if stopping.Err() != nil {
			return nil, context.Cause(stopping)
		}
		r := f.post(work, m)
		if r == nil {
			f.progress.delivery(m)
			return nil, nil
		}
		if work.Err() != nil { // not the endpoint's fault
			return nil, context.Cause(work)
		}
		f.progress.refusal(f.Log, m, n, r)
		if n >= f.Attempts || r.OfMessage && n >= attemptsOfEvent {
			return r, nil
		}
		sleep.For(stopping, max(pauses.NextBackOff(), r.RetryAfter)) //nolint:errcheck // the caller looks
	}
}
