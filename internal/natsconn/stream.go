package natsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// Error codes of the JetStream API (nats-server's errors.json) that nats.go has no names for.
const (
	errNoPeers          jetstream.ErrorCode = 10005 // too few servers for the replicas
	errNotLeader        jetstream.ErrorCode = 10009
	errMaxStreams       jetstream.ErrorCode = 10027
	errNoStorage        jetstream.ErrorCode = 10047
	errInvalidConfig    jetstream.ErrorCode = 10052
	errAccountLimits    jetstream.ErrorCode = 10053 // stands for 10027 and 10047 in a cluster
	errSubjectOverlap   jetstream.ErrorCode = 10065
	errNotClustered     jetstream.ErrorCode = 10074
	errMaxBytesRequired jetstream.ErrorCode = 10113
	errNoLimits         jetstream.ErrorCode = 10120 // the account has no tier for this number of replicas
	errMaxBytesTooLarge jetstream.ErrorCode = 10122
	streamOwner                             = "zoomstream"
	streamDescription                       = "Zoom events, stored by zoomstream"
	metadataOwner                           = "owner"
	metadataVersion                         = "version"
)

// StreamOptions describes the stream to publish to.
type StreamOptions struct {
	Name            string
	Prefix          string        // the stream holds <prefix>.>
	Replicas        int           // 0 means 1
	MaxAge          time.Duration // 0: unlimited
	MaxBytes        int64         // 0: unlimited
	DuplicateWindow time.Duration // how long the stream remembers a message id
	MaxMessage      int           // bytes that zoomstream may send in one message, headers included
	Version         string        // of zoomstream, recorded in the stream's metadata
	Log             zerolog.Logger
}

// Finding is one thing that is wrong with an existing stream.
type Finding struct {
	Fatal   bool   // publishing is impossible
	Problem string // what is wrong and its consequence, in one line
	Fix     string // the command or setting that fixes it, in one line
}

// EnsureStream creates the stream if it is missing (then created is true). It checks an existing
// one but never changes it: CreateOrUpdateStream would silently reset another team's subjects and
// limits.
//
// It waits, until ctx ends, while JetStream has no leader or does not answer. A [ConfigError] means
// that the stream cannot be created with these settings.
func EnsureStream(ctx context.Context, js jetstream.JetStream, o StreamOptions) (info *jetstream.StreamInfo, created bool, findings []Finding, err error) {
	if err := o.check(); err != nil {
		return nil, false, nil, err
	}
	err = Retry(ctx, o.Log, "waiting for stream "+o.Name, func(ctx context.Context) error {
		info, created, err = findOrCreate(ctx, js, o)
		return err
	})
	if err != nil {
		return nil, false, nil, fmt.Errorf("stream %s: %w", o.Name, err)
	}
	return info, created, checkStream(info.Config, o), nil
}

func (o StreamOptions) check() error {
	if o.MaxAge > 0 && o.DuplicateWindow > o.MaxAge {
		return &ConfigError{Setting: "ZOOMSTREAM_DUPLICATE_WINDOW",
			Err: fmt.Errorf("%v is longer than ZOOMSTREAM_STREAM_MAX_AGE (%v); a stream forgets the ids along with the messages", o.DuplicateWindow, o.MaxAge)}
	}
	return nil
}

// FindStream reads and checks the stream once, without retries. The error is
// jetstream.ErrStreamNotFound if there is none.
func FindStream(ctx context.Context, js jetstream.JetStream, o StreamOptions) (*jetstream.StreamInfo, []Finding, error) {
	stream, err := js.Stream(ctx, o.Name)
	if err != nil {
		return nil, nil, err
	}
	info := stream.CachedInfo()
	return info, checkStream(info.Config, o), nil
}

// InspectStream is EnsureStream without changes: it leaves a missing stream missing, and returns a
// nil info. A [ConfigError] then says why it could not be created, as far as the room and the other
// streams show. It does not wait.
func InspectStream(ctx context.Context, js jetstream.JetStream, room *Room, o StreamOptions) (info *jetstream.StreamInfo, findings []Finding, err error) {
	info, findings, err = FindStream(ctx, js, o)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return info, findings, err
	}
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if owners := holders(ctx, js, o); slices.Contains(owners, o.Name) { // another replica has just created it
		return FindStream(ctx, js, o)
	} else if len(owners) > 0 {
		return nil, nil, overlap(owners, o)
	}
	if err := room.Plan(streamConfig(o)); err != nil {
		return nil, nil, explainCreate(ctx, js, o, err)
	}
	return nil, nil, nil
}

// Ours reports whether a stream was created by zoomstream.
func Ours(cfg jetstream.StreamConfig) bool { return cfg.Metadata[metadataOwner] == streamOwner }

func findOrCreate(ctx context.Context, js jetstream.JetStream, o StreamOptions) (*jetstream.StreamInfo, bool, error) {
	stream, err := js.Stream(ctx, o.Name)
	if err == nil {
		return stream.CachedInfo(), false, nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, false, err
	}
	stream, err = js.CreateStream(ctx, streamConfig(o))
	if err == nil {
		return stream.CachedInfo(), true, nil
	}
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, false, explainCreate(ctx, js, o, err)
	}
	stream, err = js.Stream(ctx, o.Name) // another replica was faster
	if err != nil {
		return nil, false, err
	}
	return stream.CachedInfo(), false, nil
}

func streamConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        o.Name,
		Description: streamDescription,
		Subjects:    []string{subjects(o)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Replicas:    max(o.Replicas, 1),
		MaxAge:      o.MaxAge,
		MaxBytes:    cmp.Or(o.MaxBytes, -1),
		Duplicates:  o.DuplicateWindow,
		AllowDirect: true,
		Metadata:    map[string]string{metadataOwner: streamOwner, metadataVersion: o.Version},
	}
}

func subjects(o StreamOptions) string { return o.Prefix + ".>" }

// explainCreate maps a permanent refusal by the server to the setting that has to change.
func explainCreate(ctx context.Context, js jetstream.JetStream, o StreamOptions, err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return err
	}
	wrong := func(setting, format string, args ...any) error {
		return &ConfigError{Setting: setting, Err: fmt.Errorf(format+" (JetStream: %w)", append(args, err)...)}
	}
	switch api.ErrorCode {
	case errSubjectOverlap:
		return overlap(holders(ctx, js, o), o)
	case errNoStorage:
		return wrong("ZOOMSTREAM_STREAM_MAX_BYTES", "the server or account does not have enough storage for %d bytes; "+
			"set less, or raise its limit (max_file_store)", o.MaxBytes)
	case errMaxBytesRequired:
		return wrong("ZOOMSTREAM_STREAM_MAX_BYTES", "this account requires a limit for every stream; set one, for example 1GiB")
	case errMaxBytesTooLarge:
		return wrong("ZOOMSTREAM_STREAM_MAX_BYTES", "%d is more than this account allows for a stream; set less", o.MaxBytes)
	case errInvalidConfig:
		if strings.Contains(api.Description, "duplicates window") {
			return wrong("ZOOMSTREAM_DUPLICATE_WINDOW", "the server does not allow %v", o.DuplicateWindow)
		}
		return wrong("ZOOMSTREAM_STREAM", "the server refuses this configuration")
	}
	return ExplainRefusal("stream "+o.Name, "ZOOMSTREAM_STREAM", o.Replicas, err)
}

// ExplainRefusal maps a limit that forbids a new stream or bucket to a [ConfigError]. what names
// the stream or bucket, setting is its setting. Any other error is returned unchanged.
func ExplainRefusal(what, setting string, replicas int, err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return err
	}
	wrong := func(setting, format string, args ...any) error {
		return &ConfigError{Setting: setting, Err: fmt.Errorf("%s cannot be created: "+format+" (JetStream: %w)",
			append(append([]any{what}, args...), err)...)}
	}
	switch api.ErrorCode {
	case errNotClustered:
		return wrong("ZOOMSTREAM_STREAM_REPLICAS", "%d replicas need a cluster, and this server runs alone; use 1", replicas)
	case errNoLimits:
		return wrong("ZOOMSTREAM_STREAM_REPLICAS", "this account allows no stream with %d replica(s); use a number that it allows", replicas)
	case errMaxStreams:
		return wrong(setting, "this account has reached its limit of streams (max_streams); zoomstream needs three, one for the events and "+
			"two for its buckets: have the limit raised, or delete a stream")
	case errNoStorage:
		return wrong(setting, "the server or account does not have enough storage left; have its limit raised (max_file), or delete or limit other streams")
	case errAccountLimits:
		return wrong(setting, "it is beyond the account's limits")
	}
	return err
}

// holders returns the streams that already hold our subjects. A user who may not ask gets the error
// when the stream is created.
func holders(ctx context.Context, js jetstream.JetStream, o StreamOptions) (owners []string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // a missing permission shows as silence
	defer cancel()
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subjects(o)))
	for name := range names.Name() {
		owners = append(owners, name)
	}
	return owners
}

func overlap(owners []string, o StreamOptions) error {
	if len(owners) == 0 {
		owners = []string{"(nats stream find --subject '" + subjects(o) + "' shows it)"}
	}
	return &ConfigError{Setting: "ZOOMSTREAM_STREAM", Err: fmt.Errorf(
		"subjects %s are already held by stream %s; set ZOOMSTREAM_STREAM=%s to use that stream, or another ZOOMSTREAM_PREFIX",
		subjects(o), strings.Join(owners, ", "), owners[0])}
}
