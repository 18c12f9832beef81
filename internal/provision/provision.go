// Package provision finds what the connector keeps in JetStream, the stream of the events and the buckets of leases and
// states, and creates what is missing.
//
// A [Survey] looks and creates nothing. run makes one before it creates anything, and doctor makes the same one, so that
// both come to the same end. Where they cannot: what only a server's own configuration forbids (such as
// max_file_store, where the account has no limit) shows when the stream is created.
package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// Options say what is wanted, and who is told.
type Options struct {
	Config     *config.Config
	Version    string // of zoomstream, noted in the stream's metadata
	MaxMessage int    // bytes the connector may send in one message
	Log        zerolog.Logger
}

// Stream are the options of the stream of the events.
func (o Options) Stream() natsconn.StreamOptions {
	c := o.Config
	return natsconn.StreamOptions{
		Name: c.Stream, Prefix: c.Prefix, Replicas: c.StreamReplicas, MaxAge: c.StreamMaxAge, MaxBytes: c.StreamMaxBytes,
		DuplicateWindow: c.DuplicateWindow, MaxMessage: o.MaxMessage, Version: o.Version, Log: o.Log,
	}
}

// Prepared is what the connector needs.
type Prepared struct {
	Stream         *jetstream.StreamInfo
	Leases, States *kv.Bucket
}

// StreamError says that the existing stream cannot take the events.
type StreamError struct {
	Stream   string
	Problems []string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %s cannot take the events: %s", e.Stream, strings.Join(e.Problems, "; "))
}

// Prepare sees to it that the stream and the buckets are there. Nothing is created before all that can be looked at is
// known to be fit, so that nothing half made is left behind.
//
// It waits, under ctx, while JetStream does not answer. What cannot work is a [natsconn.ConfigError] or a [StreamError].
func Prepare(ctx context.Context, js jetstream.JetStream, o Options) (*Prepared, error) {
	room, err := checkAll(ctx, js, o)
	if err != nil {
		return nil, err
	}
	p := &Prepared{}
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

// checkAll returns the first thing that speaks against going on.
func checkAll(ctx context.Context, js jetstream.JetStream, o Options) (*natsconn.Room, error) {
	var s *Survey
	err := natsconn.Retry(ctx, o.Log, "waiting for JetStream", func(ctx context.Context) (err error) {
		s, err = NewSurvey(ctx, js, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []Part
	for _, look := range []func(context.Context) (Part, error){s.Stream, s.Leases, s.States} {
		var part Part
		err := natsconn.Retry(ctx, o.Log, "waiting for the stream and the buckets", func(ctx context.Context) (err error) {
			part, err = look(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := part.unfit(); err != nil {
			return nil, err
		}
		all = append(all, part)
	}
	for _, part := range all {
		for _, f := range part.Findings {
			o.Log.Warn().Str("code", "stream.unfit").Str("stream", part.Info.Config.Name).Str("fix", f.Fix).Msg(f.Problem)
		}
	}
	return s.Room, nil
}

func openBucket(ctx context.Context, js jetstream.JetStream, o Options, options kv.Options) (bucket *kv.Bucket, err error) {
	err = natsconn.Retry(ctx, o.Log, "waiting for bucket "+options.Name, func(ctx context.Context) (err error) {
		options.Log = o.Log
		bucket, err = kv.Open(ctx, js, options)
		return err
	})
	return bucket, bucketError(options, err)
}

// bucketError makes what the server refuses for good an error of the settings.
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
