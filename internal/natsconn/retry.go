package natsconn

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/jsapi"
)

// apiTimeout bounds one request to the JetStream API. A cluster may take 4 to 9 s to elect a
// leader; a later attempt will see it.
const apiTimeout = 3 * time.Second

// Retry repeats op until it succeeds, fails permanently or ctx ends. It logs at growing intervals
// what it waits for. Each attempt has a timeout of apiTimeout.
func Retry(ctx context.Context, log zerolog.Logger, waiting string, op func(context.Context) error) error {
	growing := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(200*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0), // by default it gives up after 15 minutes
	)
	try := func() error {
		one, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		err := op(one)
		if err != nil && (ctx.Err() != nil || !transient(err)) {
			return backoff.Permanent(err)
		}
		return err
	}
	var pace pacer
	err := backoff.RetryNotify(try, backoff.WithContext(growing, ctx), func(err error, _ time.Duration) {
		if pace.due(time.Now()) {
			log.Warn().Str("code", "nats.waiting").Str("error", err.Error()).Str("check", apiAdvice(err)).Msg(waiting)
		}
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// transient reports whether the same request may succeed later: no leader, no server, or too few of
// them.
func transient(err error) bool {
	if _, final := errors.AsType[*ConfigError](err); final {
		return false
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 408 || api.Code == 429 || api.Code == 503 || api.ErrorCode == errNoPeers || api.ErrorCode == errNotLeader
	}
	for _, passing := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// apiAdvice says what to check when the JetStream API keeps failing.
func apiAdvice(err error) string {
	api, isAPI := errors.AsType[*jetstream.APIError](err)
	_, elsewhere := errors.AsType[*jsapi.AbsentError](err)
	switch {
	case elsewhere:
		return jsapi.AbsentAdvice
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "enable JetStream for this account (jetstream: enabled), or use a user of another account"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return "enable JetStream on the server (jetstream {} in its configuration); in a cluster this may be an election, which passes"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "a cluster without a leader, or the user lacks permissions on $JS.API.> (see permission violations in this log)"
	case isAPI && api.ErrorCode == errNoPeers:
		return "fewer servers with JetStream are up than ZOOMSTREAM_STREAM_REPLICAS requires"
	default:
		return "the state of the NATS servers (nats server report jetstream)"
	}
}

// pacer spaces the log lines about a lasting problem: at once, then after 1 s, 2 s, 4 s … 5 min.
type pacer struct {
	next  time.Time
	every time.Duration
}

func (p *pacer) due(now time.Time) bool {
	if now.Before(p.next) {
		return false
	}
	p.every = min(max(2*p.every, time.Second), 5*time.Minute)
	p.next = now.Add(p.every)
	return true
}
