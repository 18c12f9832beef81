// Package app builds the connector from its configuration and runs it. It is
// the only package that knows all others.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// Options of a connector.
type Options struct {
	Config  *config.Config
	Version string
	// NATSPort is the embedded server's: 0 for 4222, -1 for any free one.
	NATSPort int
	HTTP     *http.Client // to Zoom; nil: the default
	Log      zerolog.Logger
}

// StreamError says that the existing stream cannot take the events.
type StreamError struct {
	Stream   string
	Problems []string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %s cannot take the events: %s", e.Stream, strings.Join(e.Problems, "; "))
}

// Run runs a connector until the context ends, and then until everything
// received is stored. It returns nil after an orderly end.
func Run(ctx context.Context, o Options) error {
	nc, disconnect, failed, err := connect(ctx, o)
	if err != nil {
		return orderly(ctx, err)
	}
	defer disconnect()
	stream, store, err := prepare(ctx, o, nc)
	if err != nil {
		return orderly(ctx, err)
	}
	return serve(ctx, o, nc, stream, store, failed)
}

// orderly makes the end of the context no error.
func orderly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// connect connects to the configured servers, or starts the embedded one.
func connect(ctx context.Context, o Options) (nc *nats.Conn, disconnect func(), failed <-chan error, err error) {
	n := o.Config.NATS
	options := natsconn.Options{
		URL: n.URL, Context: n.Context, Creds: n.Creds, NKey: n.NKey, User: n.User, Password: n.Password, Token: n.Token,
		CA: n.CA, Cert: n.Cert, Key: n.Key, Name: "zoomstream/" + o.Config.Replica, Log: o.Log,
	}
	if !n.Embedded() {
		nc, err := natsconn.Connect(ctx, options)
		if err != nil {
			return nil, nil, nil, err
		}
		return nc, nc.Close, nil, nil
	}
	embedded, err := natsconn.StartEmbedded(ctx, natsconn.EmbeddedOptions{DataDir: o.Config.DataDir, Port: o.NATSPort, Log: o.Log})
	if err != nil {
		return nil, nil, nil, err
	}
	options.InProcess = embedded.Server()
	nc, err = natsconn.Connect(ctx, options)
	if err != nil {
		embedded.Shutdown()
		return nil, nil, nil, err
	}
	o.Log.Info().Msgf("watch the events with: nats sub -s %s '%s.>'", embedded.ClientURL(), o.Config.Prefix)
	return nc, func() { nc.Close(); embedded.Shutdown() }, embedded.Failed(), nil
}

// prepare sees to it that the stream and the buckets are there.
func prepare(ctx context.Context, o Options, nc *nats.Conn) (*jetstream.StreamInfo, *lease.Store, error) {
	cfg := o.Config
	js, err := natsconn.AwaitJetStream(ctx, nc, o.Log)
	if err != nil {
		return nil, nil, err
	}
	info, created, findings, err := natsconn.EnsureStream(ctx, js, natsconn.StreamOptions{
		Name: cfg.Stream, Prefix: cfg.Prefix, Replicas: cfg.StreamReplicas, MaxAge: cfg.StreamMaxAge, MaxBytes: cfg.StreamMaxBytes,
		DuplicateWindow: cfg.DuplicateWindow, MaxMessage: int(nc.MaxPayload()), Version: o.Version, Log: o.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	if created {
		o.Log.Info().Str("stream", cfg.Stream).Str("subjects", cfg.Prefix+".>").Msg("stream created")
	}
	if err := report(o.Log, cfg.Stream, findings); err != nil {
		return nil, nil, err
	}
	var store *lease.Store
	err = natsconn.Retry(ctx, o.Log, "waiting for bucket "+cfg.Bucket, func(ctx context.Context) (err error) {
		store, err = lease.Open(ctx, js, lease.Options{Bucket: cfg.Bucket, Replicas: cfg.StreamReplicas, TTL: cfg.LeaseTTL})
		return err
	})
	return info, store, bucketError(cfg.Bucket, err)
}

// bucketError makes what the server refuses for good an error of the settings.
func bucketError(bucket string, err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return err
	}
	if api.ErrorCode == codeNoCluster {
		return &natsconn.ConfigError{Setting: "ZOOMSTREAM_STREAM_REPLICAS", Err: fmt.Errorf("more than one needs a NATS cluster: %w", err)}
	}
	return &natsconn.ConfigError{Setting: "ZOOMSTREAM_BUCKET", Err: fmt.Errorf(
		"bucket %s cannot hold leases (it needs a TTL per message: nats-server 2.11, LimitMarkerTTL); delete it or name another: %w", bucket, err)}
}

// codeNoCluster is JetStream's "replicas > 1 not supported in non-clustered
// mode" (nats-server, server/errors.json).
const codeNoCluster = 10074

func report(log zerolog.Logger, stream string, findings []natsconn.Finding) error {
	var fatal []string
	for _, f := range findings {
		if f.Fatal {
			fatal = append(fatal, f.Problem+"; "+f.Fix)
			continue
		}
		log.Warn().Str("stream", stream).Str("fix", f.Fix).Msg(f.Problem)
	}
	if len(fatal) > 0 {
		return &StreamError{Stream: stream, Problems: fatal}
	}
	return nil
}

// serve runs a bridge for each subscription until one fails or the context
// ends.
func serve(ctx context.Context, o Options, nc *nats.Conn, stream *jetstream.StreamInfo, store *lease.Store, failed <-chan error) error {
	group, ctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		select {
		case err := <-failed:
			return fmt.Errorf("the embedded NATS server failed: %w", err)
		case <-done:
			return nil
		}
	})
	bridges, bridging := errgroup.WithContext(ctx)
	tokens := newTokens(o)
	for _, endpoint := range o.Config.Zoom.Endpoints {
		bridges.Go(func() error { return subscription(bridging, o, nc, stream, store, tokens, endpoint) })
	}
	group.Go(func() error {
		defer close(done)
		return bridges.Wait()
	})
	return group.Wait()
}

func newTokens(o Options) *zoom.TokenSource {
	z := o.Config.Zoom
	return zoom.NewTokenSource(zoom.TokenConfig{
		ClientID: z.ClientID, ClientSecret: z.ClientSecret, AccountID: z.AccountID, URL: z.OAuthURL, HTTP: o.HTTP, Log: o.Log,
	})
}

// subscription serves one subscription until the context ends.
func subscription(ctx context.Context, o Options, nc *nats.Conn, stream *jetstream.StreamInfo, store *lease.Store, tokens *zoom.TokenSource, endpoint config.Endpoint) error {
	cfg := o.Config
	log := o.Log.With().Str("subscription", endpoint.Subscription).Logger()
	mode, err := dedupe.ParseMode(cfg.Dedupe)
	if err != nil {
		return err
	}
	var epoch uint64
	err = natsconn.Retry(ctx, log, "waiting for bucket "+cfg.Bucket, func(ctx context.Context) (err error) {
		epoch, err = store.Claim(ctx, endpoint.Subscription, cfg.Replica)
		return err
	})
	err = bucketError(cfg.Bucket, err)
	if err != nil {
		return orderly(ctx, err)
	}
	dialer := zoom.NewDialer(zoom.Config{
		Endpoint: endpoint.URL, Tokens: tokens, HTTP: o.HTTP, Heartbeat: cfg.Heartbeat, Log: log,
	})
	b := bridge.New(nc, dialer, epoch, bridge.Config{
		Subscription: endpoint.Subscription, Stream: cfg.Stream, Prefix: cfg.Prefix, Dedupe: mode,
		DuplicateWindow: stream.Config.Duplicates, LastSequence: stream.State.LastSeq, MaxMessage: max(0, int(stream.Config.MaxMsgSize)), SecretToken: cfg.Zoom.SecretToken,
		Secrets: func() []string {
			return []string{cfg.Zoom.ClientSecret, cfg.Zoom.SecretToken, tokens.Cached(), cfg.Zoom.ClientID}
		},
		Log: log,
	})
	err = b.Run(ctx)
	st := b.Stats()
	log.Info().Uint64("events", st.Events).Uint64("stored", st.Publisher.Acked-st.Publisher.Duplicates).
		Uint64("duplicates", st.Repeated+st.Publisher.Duplicates).Uint64("malformed", st.Malformed).Uint64("connects", st.Connects).Msg("subscription ended")
	return err
}
