package natsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/zoomstream/zoomstream/internal/jsapi"
)

// Options says which server to connect to, and as whom. Each string has the meaning of the nats
// CLI's setting of the same name (NATS_URL, NATS_CONTEXT, NATS_CREDS …) and overrides the
// context's.
type Options struct {
	URL      string // servers, comma-separated; empty: the context's, else nats://127.0.0.1:4222
	Context  string // a context of the nats CLI: its name, or the absolute path of its file
	Domain   string // of JetStream; empty: the context's, else the server's own
	Creds    string // path of a credentials file
	NKey     string // path of a seed file
	User     string
	Password string
	Token    string
	CA       string // path of a PEM file
	Cert     string // path of a PEM file, with Key
	Key      string // path of a PEM file

	Name      string                     // shown in the server's connection list, such as zoomstream/<replica>
	InProcess nats.InProcessConnProvider // if set: connect in process, without a socket; of the above, only User and Password apply
	// Secrets is called for each connection attempt and returns the current secrets; nil: they
	// never change.
	Secrets func() Secrets
	Refused func()              // called whenever the server has refused the credentials; may be nil
	Denied  func(detail string) // called for each subject that the server denies to this user; may be nil
	Log     zerolog.Logger
}

// Secrets are the credentials that may change after the connection was made. Of URL only the login
// is used, and only if it names a single server.
type Secrets struct{ URL, Password, Token string }

// Connect returns JetStream on an established connection. A server that is not up, or refuses the
// credentials, is no error: Connect logs what it waits for, at once and then at growing intervals,
// until the server is there or ctx ends (a dial in progress finishes first, 2 s at most per
// server). Settings that can never work are a [ConfigError], all at once.
//
// The connection reconnects for ever. Nothing is buffered meanwhile: a publish fails at once,
// because a hidden queue would deliver late and out of order. The server can still close the
// connection for good (a protocol violation): that is logged as an error, and
// nc.StatusChanged(nats.CLOSED) reports it.
func Connect(ctx context.Context, o Options) (jetstream.JetStream, error) {
	events := &events{log: o.Log, target: "in process", denied: o.Denied, refused: o.Refused}
	js, err := dial(o, events)
	if err != nil {
		return nil, err
	}
	nc, started := js.Conn(), time.Now()
	if err := await(ctx, nc, events); err != nil {
		nc.Close()
		return nil, err
	}
	o.Log.Info().Str("code", "nats.connected").Str("server", events.server(nc)).Str("server_name", nc.ConnectedServerName()).
		Str("version", nc.ConnectedServerVersion()).Stringer("waited", time.Since(started).Round(time.Millisecond)).
		Msg("connected to NATS")
	return js, nil
}

// dial returns at once, connected or not. With RetryOnFailedConnect only configuration errors are
// left to return.
func dial(o Options, e *events) (jetstream.JetStream, error) {
	nc, place, err := dialServers(o, e)
	if err != nil {
		return nil, err
	}
	js, err := jsapi.New(nc, place, apiTimeout)
	if err != nil {
		nc.Close()
		return nil, asConfigError("NATS_JS_DOMAIN", err)
	}
	return js, nil
}

func dialServers(o Options, e *events, more ...nats.Option) (nc *nats.Conn, place jsapi.Place, err error) {
	place.Domain = o.Domain
	opts := append(append(e.options(), more...),
		nats.Name(o.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.IgnoreAuthErrorAbort(), // by default the second refusal closes the connection for good
		nats.PingInterval(10*time.Second),
		nats.MaxPingsOutstanding(2),
		nats.NoCallbacksAfterClientClose(),
	)
	if o.InProcess != nil {
		opts = append(opts, nats.UserInfo(o.User, o.Password), nats.CustomInboxPrefix(embeddedInbox))
		if nc, err = nats.Connect("", append(opts, nats.InProcessServer(o.InProcess))...); err != nil {
			return nil, place, fmt.Errorf("NATS in process: %w", err)
		}
		return nc, place, nil
	}
	explicit, err := explicitSettings(o)
	if err != nil {
		return nil, place, err
	}
	opts = append(append(opts, explicit...), checkSettings(o, e))
	if o.Context != "" {
		return dialContext(o, opts)
	}
	if tokenIn(o.URL) != "" {
		opts = append(opts, nats.CustomInboxPrefix(embeddedInbox))
	}
	nc, err = nats.Connect(cmp.Or(o.URL, nats.DefaultURL), opts...)
	return nc, place, asConfigError("NATS_URL", err)
}

// dialContext applies the context's settings first, then opts, which override them.
func dialContext(o Options, opts []nats.Option) (_ *nats.Conn, place jsapi.Place, err error) {
	wrong := func(err error) error {
		return asConfigError("NATS_CONTEXT", fmt.Errorf("context %q: %w", o.Context, err))
	}
	if err := checkContextFiles(o); err != nil {
		return nil, place, wrong(err)
	}
	nc, settings, err := natscontext.Connect(o.Context, opts...)
	if err != nil {
		return nil, place, wrong(err)
	}
	if err := unsupported(o, settings); err != nil {
		nc.Close()
		return nil, place, wrong(err)
	}
	if place.Domain = o.Domain; place.Domain == "" {
		place = jsapi.Place{Domain: settings.JSDomain, Prefix: settings.JSAPIPrefix}
	}
	return nc, place, nil
}

// reconnectDelay is the pause after every server in the list has failed: 0.1 s, 0.2 s … 1 s, plus
// up to half of that as jitter, so that replicas do not reconnect in step.
func reconnectDelay(round int) time.Duration {
	pause := min(100*time.Millisecond<<min(round-1, 4), time.Second)
	return pause + rand.N(pause/2)
}

// await waits for the first connection. Until there has been one, nats.go reports a refusal of the
// credentials only once, so await polls the last error too.
func await(ctx context.Context, nc *nats.Conn, e *events) error {
	changed := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changed)
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for !nc.IsConnected() {
		if nc.IsClosed() {
			return fmt.Errorf("NATS at %s: %w", e.target, cmp.Or(nc.LastError(), nats.ErrConnectionClosed))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for NATS at %s: %w", e.target, context.Cause(ctx))
		case <-changed:
		case <-poll.C:
			if err := nc.LastError(); err != nil {
				e.unreachable(nc, err)
			}
		}
	}
	e.reachable()
	return nil
}

// AwaitJetStream returns once JetStream answers for the connection's account. Until then it logs
// what is missing. A cluster that is electing a leader looks like one without JetStream, so it
// waits in both cases.
func AwaitJetStream(ctx context.Context, js jetstream.JetStream, log zerolog.Logger) error {
	err := Retry(ctx, log, "waiting for JetStream", func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return jsapi.Absent(js, err)
	})
	if err != nil {
		return fmt.Errorf("waiting for JetStream: %w", err)
	}
	return nil
}

func asConfigError(setting string, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*ConfigError](err); ok {
		return known
	}
	return &ConfigError{Setting: setting, Err: err}
}
