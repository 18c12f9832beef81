package natsconn

import (
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// events logs what happens to one connection. nats.go calls its handlers from one goroutine; during
// the first connection await calls them too.
type events struct {
	log     zerolog.Logger
	refused func()              // see Options
	denied  func(detail string) // see Options
	target  string              // the servers, without secrets; set before the first connection

	mu     sync.Mutex
	pace   pacer
	since  time.Time      // start of the latest outage
	errors map[string]int // counts by error text, which includes the subject
}

func (e *events) options() []nats.Option {
	return []nats.Option{
		nats.DisconnectErrHandler(e.disconnected),
		nats.ReconnectHandler(e.reconnected),
		nats.ReconnectErrHandler(e.unreachable),
		nats.ErrorHandler(e.failed),
		nats.ClosedHandler(e.closed),
		nats.LameDuckModeHandler(e.lameDuck),
	}
}

func (e *events) disconnected(_ *nats.Conn, err error) {
	e.mu.Lock()
	e.since = time.Now()
	e.mu.Unlock()
	e.log.Warn().Str("code", "nats.disconnected").Err(err).Str("servers", e.target).Msg("NATS connection lost")
}

func (e *events) reconnected(nc *nats.Conn) {
	out := e.reachable()
	e.log.Info().Str("code", "nats.reconnected").Str("server", e.server(nc)).Str("server_name", nc.ConnectedServerName()).
		Stringer("outage", out.Round(time.Millisecond)).Msg("NATS connection is back")
}

// reachable ends an outage and returns its length.
func (e *events) reachable() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := time.Since(e.since)
	e.pace = pacer{}
	return out
}

// unreachable logs a failed attempt, unless the pace forbids it or a later attempt has succeeded.
// nats.go reports its very first attempts as "no servers", which is skipped; the next error names
// the cause.
func (e *events) unreachable(nc *nats.Conn, err error) {
	if nc.IsConnected() || errors.Is(err, nats.ErrNoServers) {
		return
	}
	if e.refused != nil && refused(err) {
		e.refused()
	}
	e.mu.Lock()
	due := e.pace.due(time.Now())
	e.mu.Unlock()
	if due {
		e.log.Warn().Str("code", "nats.waiting").Err(err).Str("check", connectAdvice(err)).Msg("waiting for NATS at " + e.target)
	}
}

// failed logs an asynchronous error the 1st, 2nd, 4th, 8th … time: a missing permission fails with
// every event.
func (e *events) failed(nc *nats.Conn, sub *nats.Subscription, err error) {
	if refused(err) && !nc.IsConnected() {
		e.unreachable(nc, err)
		return
	}
	text := err.Error()
	if sub != nil {
		text += ` on subscription "` + sub.Subject + `"`
	}
	if errors.Is(err, nats.ErrConsumerNotActive) { // the library recreates it
		e.log.Debug().Str("code", "nats.watcher").Str("error", text).Msg("recreating a watcher")
		return
	}
	if e.denied != nil && errors.Is(err, nats.ErrPermissionViolation) {
		e.denied(text)
	}
	if count := e.count(text); count&(count-1) == 0 {
		e.log.Error().Str("code", "nats.error").Str("error", text).Int("count", count).Func(func(line *zerolog.Event) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				line.Str("check", "the permissions of this user (nats.conf lists them); on the NATS server of another zoomstream, "+
					"whether NATS_URL_FILE is nats.url in its data folder, which has the token")
			}
		}).Msg(failureTitle(err))
	}
}

func (e *events) count(text string) int {
	// Beyond this many texts, errors share one counter: a missing permission on zoom.> denies a new
	// subject with each event's name.
	const kinds = 16
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.errors == nil {
		e.errors = make(map[string]int)
	}
	if _, known := e.errors[text]; !known && len(e.errors) >= kinds {
		text = ""
	}
	e.errors[text]++
	return e.errors[text]
}

// closed is called when the server closes the connection: NoCallbacksAfterClientClose excludes our
// own Close.
func (e *events) closed(nc *nats.Conn) {
	e.log.Error().Str("code", "nats.closed").Err(nc.LastError()).Str("servers", e.target).Msg("NATS connection closed for good; restart to connect again")
}

func (e *events) lameDuck(nc *nats.Conn) {
	e.log.Info().Str("code", "nats.lameduck").Str("server", e.server(nc)).Str("server_name", nc.ConnectedServerName()).
		Msg("NATS server is about to shut down (lame duck mode); the connection will move")
}

func (e *events) server(nc *nats.Conn) string {
	if nc.Opts.InProcessServer != nil {
		return e.target
	}
	return withoutUser(nc.ConnectedUrl())
}

func failureTitle(err error) string {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return "NATS denies a subject to this user"
	}
	return "NATS connection error"
}

func refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// connectAdvice says what to check when connecting keeps failing.
func connectAdvice(err error) string {
	if advice := tlsAdvice(err); advice != "" {
		return advice
	}
	switch {
	case refused(err):
		return "the server refuses the credentials: NATS_CREDS, NATS_NKEY, NATS_USER and NATS_PASSWORD, NATS_TOKEN or " +
			"NATS_CONTEXT, and whether the server knows this user"
	default:
		return "whether a nats-server listens there and NATS_URL is right"
	}
}
