package forward

import (
	"context"

	"github.com/cenkalti/backoff/v4"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
)

// attemptsOfEvent are made at most for an event that the endpoint finds wrong (400, 413,
// 415, 422). To repeat the same bytes seldom helps, and all later events wait for it.
// Every other refusal is about the endpoint: one that answers 404 during a roll-out
// would lose its events to the dead letters at once.
const attemptsOfEvent = 3

// attempt delivers a message. The refusal is the last one, once it is given up; the
// error says that it was stopped before. Stopping ends what is between attempts, work
// also the attempt.
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
		if work.Err() != nil { // it is no fault of the endpoint's
			return nil, context.Cause(work)
		}
		f.progress.refusal(f.Log, m, n, r)
		if n >= f.Attempts || r.OfMessage && n >= attemptsOfEvent {
			return r, nil
		}
		sleep.For(stopping, max(pauses.NextBackOff(), r.RetryAfter)) //nolint:errcheck // the caller looks
	}
}
