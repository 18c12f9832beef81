// Package provision finds what zoomstream keeps in JetStream, the event stream and the buckets of
// leases and states, and creates what is missing.
//
// A [Survey] inspects and creates nothing. run makes one before it creates anything, and doctor
// makes the same one, so both come to the same result. The exception is what only the server's own
// configuration forbids (such as max_file_store, if the account has no limit): it shows when the
// stream is created.
package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// Options says what is wanted.
type Options struct {
	Config     *config.Config
	Version    string // of zoomstream, recorded in the stream's metadata
	MaxMessage int    // bytes that zoomstream may send in one message
	Log        zerolog.Logger
	// Waiting is called with the reason when Prepare starts to wait for somebody to restore the
	// stream, and with "" when the wait ends; may be nil.
	Waiting func(why string)
}

// Stream returns the options of the event stream.
func (o Options) Stream() natsconn.StreamOptions {
	c := o.Config
	return natsconn.StreamOptions{
		Name: c.Stream, Prefix: c.Prefix, Replicas: c.StreamReplicas, MaxAge: c.StreamMaxAge, MaxBytes: c.StreamMaxBytes,
		DuplicateWindow: c.DuplicateWindow, MaxMessage: o.MaxMessage, Version: o.Version, Log: o.Log,
	}
}

// Prepared is what a replica needs in JetStream.
type Prepared struct {
	Stream         *jetstream.StreamInfo
	Findings       []natsconn.Finding // about the stream, if it existed before; none is fatal, and all are logged
	Leases, States *kv.Bucket
}

// StreamError says that the existing stream cannot take events.
type StreamError struct {
	Stream   string
	Problems []string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %s cannot take the events: %s", e.Stream, strings.Join(e.Problems, "; "))
}

// restorePeriod is how often to check for a stream that somebody else has to restore.
const restorePeriod = 2 * time.Second

// Prepare makes sure that the stream and the buckets exist. It creates nothing until everything
// that can be checked is known to be fit, so that a failure leaves nothing half made.
//
// It waits, until ctx ends, while JetStream does not answer, and while the stream is missing and
// was somebody else's. A permanent failure is a [natsconn.ConfigError] or a [StreamError].
func Prepare(ctx context.Context, js jetstream.JetStream, o Options) (*Prepared, error) {
	room, findings, err := awaitFit(ctx, js, o)
	if err != nil {
		return nil, err
	}
	p := &Prepared{Findings: findings}
	if p.Leases, err = openBucket(ctx, js, o, leases(o.Config, room)); err != nil {
		return nil, err
	}
	if p.States, err = openBucket(ctx, js, o, states(o.Config, room)); err != nil {
		return nil, err
	}
	info, created, _, err := natsconn.EnsureStream(ctx, js, o.Stream())
	if err != nil {
		return nil, err
	}
	if created {
		o.Log.Info().Str("code", "stream.created").Str("stream", o.Config.Stream).Str("subjects", o.Config.Prefix+".>").Msg("stream created")
	}
	p.Stream = info
	return p, nil
}

// awaitFit returns once everything that can be checked is fit, or with a permanent error. It waits
// while somebody else has to restore the stream.
func awaitFit(ctx context.Context, js jetstream.JetStream, o Options) (*natsconn.Room, []natsconn.Finding, error) {
	waiting := false
	for {
		room, findings, err := checkAll(ctx, js, o)
		gone, ok := errors.AsType[*GoneError](err)
		if waiting != ok && o.Waiting != nil {
			o.Waiting(gone.why())
		}
		if !ok {
			return room, findings, err
		}
		if !waiting {
			o.Log.Error().Str("code", "stream.gone").Str("stream", o.Config.Stream).Msg(gone.Error())
		}
		waiting = true
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(restorePeriod):
		}
	}
}

// checkAll returns the first obstacle as the error; otherwise the stream's findings, none of them
// fatal.
func checkAll(ctx context.Context, js jetstream.JetStream, o Options) (room *natsconn.Room, findings []natsconn.Finding, err error) {
	var s *Survey
	err = natsconn.Retry(ctx, o.Log, "waiting for JetStream", func(ctx context.Context) (err error) {
		s, err = NewSurvey(ctx, js, o)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var all []Part
	for _, look := range []func(context.Context) (Part, error){s.Stream, s.Leases, s.States} {
		var part Part
		err := natsconn.Retry(ctx, o.Log, "waiting for the stream and the buckets", func(ctx context.Context) (err error) {
			part, err = look(ctx)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if err := part.unfit(); err != nil {
			return nil, nil, err
		}
		all = append(all, part)
	}
	for _, part := range all {
		for _, f := range part.Findings {
			o.Log.Warn().Str("code", "stream.unfit").Str("stream", part.Info.Config.Name).Str("fix", f.Fix).Msg(f.Problem)
		}
	}
	return s.Room, all[0].Findings, nil
}

func openBucket(ctx context.Context, js jetstream.JetStream, o Options, options kv.Options) (bucket *kv.Bucket, err error) {
	err = natsconn.Retry(ctx, o.Log, "waiting for bucket "+options.Name, func(ctx context.Context) (err error) {
		options.Log = o.Log
		bucket, err = kv.Open(ctx, js, options)
		return err
	})
	return bucket, bucketError(options, err)
}

// bucketError turns a permanent refusal by the server into a configuration error.
func bucketError(o kv.Options, err error) error {
	err = natsconn.ExplainRefusal("bucket "+o.Name, "ZOOMSTREAM_BUCKET", o.Replicas, err)
	if _, known := errors.AsType[*natsconn.ConfigError](err); known {
		return err
	}
	_, refused := errors.AsType[*jetstream.APIError](err)
	switch {
	case errors.Is(err, kv.ErrNoTTL):
		return &natsconn.ConfigError{Setting: "ZOOMSTREAM_BUCKET", Err: fmt.Errorf("bucket %s: %w; %s", o.Name, err, otherBucket)}
	case errors.Is(err, jetstream.ErrLimitMarkerTTLNotSupported):
		return tooOld(err)
	case refused:
		return &natsconn.ConfigError{Setting: "ZOOMSTREAM_BUCKET", Err: fmt.Errorf("the NATS server refuses bucket %s: %w", o.Name, err)}
	}
	return err
}

func tooOld(err error) error {
	return &natsconn.ConfigError{Setting: "NATS_URL", Err: fmt.Errorf("leases need nats-server 2.11 or newer: %w", err)}
}
