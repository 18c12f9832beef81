// Package app builds a replica from its configuration and runs it. It is the only package that
// knows all the others.
package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
)

// Options of a replica.
type Options struct {
	Config   *config.Config
	Version  string
	Commit   string
	NATS     nats.InProcessConnProvider // if set, replaces the configured NATS connection
	HTTP     *http.Client               // to Zoom; nil: the default
	StepDown <-chan struct{}            // each receive hands all subscriptions to other replicas; may be nil
	Reload   <-chan *config.Config      // each configuration received replaces the secrets in use; may be nil
	// Reread reads the configuration again after a refusal, since the secrets in its files may have
	// changed. It must be safe for concurrent use; may be nil.
	Reread func() (*config.Config, error)
	Notify func(state string)        // reports to the supervisor (sd_notify(3)); may be nil
	Clock  func(time.Time) time.Time // maps a time to this machine's wall clock; nil: unchanged
	Log    zerolog.Logger
}

// Run runs a replica until ctx ends, and then until everything received is stored. It returns nil
// after an orderly stop.
func Run(ctx context.Context, o Options) error {
	m, err := newMonitor(o)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	monitorCtx, stopMonitor := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return m.run(monitorCtx) })
	group.Go(func() error {
		defer stopMonitor() // last, so that the shutdown can be watched
		defer m.drain()
		defer context.AfterFunc(ctx, m.drain)()
		return runWithNATS(ctx, o, m)
	})
	return group.Wait()
}

// runWithNATS connects to NATS and runs a replica until ctx ends.
func runWithNATS(ctx context.Context, o Options, m *monitor) error {
	js, disconnect, failed, err := connect(ctx, o, m)
	if err != nil {
		return ignoreAfterCancel(ctx, err)
	}
	defer disconnect()
	m.nc.Store(js.Conn())
	r, err := prepare(ctx, o, m, js)
	if err != nil {
		return ignoreAfterCancel(ctx, err)
	}
	return r.serve(ctx, failed)
}

// ignoreAfterCancel returns err, or nil if ctx has ended.
func ignoreAfterCancel(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// connect connects to the configured servers, or starts the embedded one.
func connect(ctx context.Context, o Options, m *monitor) (js jetstream.JetStream, disconnect func(), failed <-chan error, err error) {
	options := natsconn.Settings(o.Config.NATS).Options()
	options.InProcess, options.Name, options.Denied, options.Refused, options.Log = o.NATS, "zoomstream/"+o.Config.Replica, m.noteDenied, m.rereadSecrets, o.Log
	options.Secrets = func() natsconn.Secrets { return m.secrets.Load().nats }
	if !startsNATS(o) {
		js, err := natsconn.Connect(ctx, options)
		if err != nil {
			return nil, nil, nil, err
		}
		m.login.Store(&options)
		return js, js.Conn().Close, nil, nil
	}
	embedded, err := natsconn.StartEmbedded(ctx, embeddedOptions(o))
	if err != nil {
		return nil, nil, nil, err
	}
	options = embedded.Inside(options)
	js, err = natsconn.Connect(ctx, options)
	if err != nil {
		embedded.Shutdown()
		return nil, nil, nil, err
	}
	m.login.Store(&options)
	o.Log.Info().Str("code", "nats.hint").Msg(hint(o.Config, embedded))
	return js, func() { js.Conn().Close(); embedded.Shutdown() }, embedded.Failed(), nil
}

// startsNATS reports whether this process starts the embedded server.
func startsNATS(o Options) bool { return o.NATS == nil && o.Config.NATS.Embedded() }

func embeddedOptions(o Options) natsconn.EmbeddedOptions {
	options := natsconn.EmbeddedOptions{DataDir: o.Config.DataDir, Addr: o.Config.NATSAddr, Log: o.Log}
	if o.Config.NATSAnonymous == "read" {
		options.Readers = &natsconn.Readable{Prefix: o.Config.Prefix, Stream: o.Config.Stream, Bucket: o.Config.Bucket}
	}
	return options
}

// hint returns example commands for the nats CLI. They read the token from a file into the
// environment, because ps shows arguments.
func hint(cfg *config.Config, embedded *natsconn.Embedded) string {
	login := "NATS_URL=$(cat '" + strings.ReplaceAll(embedded.URLFile(), "'", `'\''`) + "') nats"
	if cfg.NATSAnonymous == "none" {
		return fmt.Sprintf("watch the events with: %s sub '%s.>'", login, cfg.Prefix)
	}
	return fmt.Sprintf("watch the events with: nats sub -s %s '%s.>'; for anything beyond reading: %s …",
		embedded.ClientURL(), cfg.Prefix, login)
}

// prepare finds or creates the stream and the buckets, and returns a replica that uses them.
func prepare(ctx context.Context, o Options, m *monitor, js jetstream.JetStream) (*replica, error) {
	if err := natsconn.AwaitJetStream(ctx, js, o.Log); err != nil {
		return nil, err
	}
	wanted := provision.Options{
		Config: o.Config, Version: o.Version, MaxMessage: int(js.Conn().MaxPayload()), Waiting: m.noteStreamMissing, Log: o.Log,
	}
	found, err := provision.Prepare(ctx, js, wanted)
	if err != nil {
		return nil, err
	}
	return newReplica(o, m, js, found)
}
