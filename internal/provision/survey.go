package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/record"
)

// Part is what was found of the stream or of a bucket.
type Part struct {
	Name     string                // such as "stream ZOOM"
	Info     *jetstream.StreamInfo // nil: missing; run creates it unless Refused says why not
	Findings []natsconn.Finding    // what is wrong with an existing one
	Refused  error                 // a natsconn.ConfigError or a GoneError
	stream   string                // name of the event stream; "": this is a bucket
}

// unfit returns why run cannot use the part; nil if it can.
func (p Part) unfit() error {
	if p.Refused != nil {
		return p.Refused
	}
	var problems []string
	for _, f := range p.Findings {
		if f.Fatal {
			problems = append(problems, f.Problem+"; "+f.Fix)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	if p.stream == "" {
		return &natsconn.ConfigError{Setting: "ZOOMSTREAM_BUCKET", Err: errors.New(problems[0])}
	}
	return &StreamError{Stream: p.stream, Problems: problems}
}

// GoneError says that the stream is missing and was made by somebody else.
type GoneError struct{ Stream, Bucket string }

func (e *GoneError) Error() string {
	return fmt.Sprintf("stream %s is gone, and zoomstream did not create it: whoever did must restore it; "+
		"to have zoomstream create its own: %s", e.Stream, e.Fix())
}

// Fix returns the command that allows zoomstream to create the stream.
func (e *GoneError) Fix() string {
	return fmt.Sprintf("nats kv del %s %s", e.Bucket, ownerKey(e.Stream))
}

func (e *GoneError) why() string {
	if e == nil {
		return ""
	}
	return e.Error()
}

// Survey inspects the parts in the order in which it is asked, and creates none. It plans the
// missing ones, so that they count against the room of those that follow. Its methods are not safe
// for concurrent use.
type Survey struct {
	Room *natsconn.Room
	js   jetstream.JetStream
	o    Options
}

// NewSurvey reads the account's limits from JetStream, in one attempt.
func NewSurvey(ctx context.Context, js jetstream.JetStream, o Options) (*Survey, error) {
	room, err := natsconn.FindRoom(ctx, js)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Survey{Room: room, js: js, o: o}, nil
}

// Stream inspects the event stream. With an error, only the name of the Part is set; this holds for
// Leases and States too.
func (s *Survey) Stream(ctx context.Context) (Part, error) {
	name := s.o.Config.Stream
	p := Part{Name: "stream " + name, stream: name}
	info, findings, err := natsconn.InspectStream(ctx, s.js, s.Room, s.o.Stream())
	if _, refused := errors.AsType[*natsconn.ConfigError](err); refused {
		p.Refused, err = err, nil
	}
	if err != nil {
		return p, fmt.Errorf("%s: %w", p.Name, err)
	}
	p.Info, p.Findings = info, findings
	if info != nil {
		return p, nil
	}
	foreign, err := s.foreign(ctx)
	if err != nil {
		return p, fmt.Errorf("%s is missing, and who created it cannot be read: %w", p.Name, err)
	}
	if foreign {
		p.Refused = &GoneError{Stream: name, Bucket: states(s.o.Config, s.Room).Name}
	}
	return p, nil
}

// Leases inspects the bucket of the leases.
func (s *Survey) Leases(ctx context.Context) (Part, error) {
	return s.bucket(ctx, leases(s.o.Config, s.Room))
}

// States inspects the bucket of the states.
func (s *Survey) States(ctx context.Context) (Part, error) {
	return s.bucket(ctx, states(s.o.Config, s.Room))
}

func (s *Survey) bucket(ctx context.Context, o kv.Options) (Part, error) {
	p := Part{Name: "bucket " + o.Name}
	_, info, err := kv.Find(ctx, s.js, o)
	switch {
	case err == nil:
		p.Info, p.Findings = info, checkBucket(info.Config, o)
		return p, nil
	case !errors.Is(err, jetstream.ErrBucketNotFound):
		return p, err
	case o.TTLs && s.Room.Account.API.Level < 1:
		p.Refused = tooOld(jetstream.ErrLimitMarkerTTLNotSupported)
		return p, nil
	}
	p.Refused = bucketError(o, s.Room.Plan(o.Stream()))
	return p, nil
}

func leases(c *config.Config, room *natsconn.Room) kv.Options {
	return kv.Options{
		Name: c.Bucket, Description: "zoomstream: which replica holds each subscription", Replicas: c.StreamReplicas,
		MaxBytes: room.StreamBytes(kv.DefaultMaxBytes), TTLs: true,
	}
}

func states(c *config.Config, room *natsconn.Room) kv.Options {
	return kv.Options{
		Name: record.StateBucket(c.Bucket), Description: "zoomstream: the connection of each subscription", Replicas: c.StreamReplicas,
		MaxBytes: room.StreamBytes(kv.DefaultMaxBytes),
	}
}
