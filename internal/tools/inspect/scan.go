// Package inspect reads the stream for people: it finds events with their path, and gaps with what
// to read again.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// patience is how long the server may deliver nothing before a scan is given up.
	patience = 10 * time.Second
	// aheadBytes bounds the bytes in transit, and thus the memory, unless a single message is
	// larger.
	aheadBytes = 16 << 20
)

var (
	errStalled = fmt.Errorf("the server has delivered nothing for %s", patience)
	errLost    = errors.New("the connection to the server was interrupted; try again")
)

// Stream is a stream of events to read.
type Stream struct {
	name   string
	prefix string
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Open finds a stream. The events' subjects begin with prefix.
func Open(ctx context.Context, js jetstream.JetStream, name, prefix string) (*Stream, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("there is no stream %s at %s; zoomstream creates it when it runs: check ZOOMSTREAM_STREAM, and NATS_URL or NATS_CONTEXT",
			name, js.Conn().ConnectedAddr())
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		err = jsapi.AtPlace(js, status.ErrNoJetStream)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, refused(js.Conn(), err))
	}
	return &Stream{name: name, prefix: prefix, js: js, stream: stream}, nil
}

// Message is a stored message.
type Message struct {
	Sequence uint64
	Stored   time.Time
	Subject  string
	Header   nats.Header
	Body     []byte // empty if only headers were read
}

// look says what to read from the stream.
type look struct {
	subject  string    // filter
	subjects []string  // several filters instead; they must not overlap
	since    time.Time // stored at or after this time; zero: from the start
	from     uint64    // or from this sequence
	last     uint64    // up to this sequence
	headers  bool      // without bodies
}

// scan passes the messages of a look to each, in the stream's order and without omissions, until
// each returns false. It returns how many it has passed on.
func (s *Stream) scan(ctx context.Context, l look, each func(*Message) bool) (looked uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(patience, func() { cancel(errStalled) })
	defer stalled.Stop()

	r, err := s.newReader(ctx, l)
	if err != nil {
		return 0, err
	}
	defer r.close(ctx)
	for r.pending > 0 {
		m, err := r.next(ctx)
		if err != nil {
			return looked, err
		}
		stalled.Reset(patience)
		if m.Sequence > l.last {
			break
		}
		looked++
		if !each(m) {
			break
		}
	}
	return looked, nil
}

func (l look) consumer() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: l.subject, FilterSubjects: l.subjects, HeadersOnly: l.headers, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: 2 * patience,
	}
	switch {
	case l.from > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, l.from
	case !l.since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &l.since
	}
	return cfg
}

// failed wraps an error; if ctx has ended, its cause replaces the error.
func (s *Stream) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("read stream %s: %w", s.name, refused(s.js.Conn(), err))
}

// refused adds what JetStream does not report: a request without permission just gets no answer.
func refused(nc *nats.Conn, err error) error {
	last := nc.LastError()
	unanswered := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStalled)
	if unanswered && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w; nats.conf has a user that may read", last)
	}
	return err
}

// Control passes the bridge's own messages stored since a time to each, in order.
func (s *Stream) Control(ctx context.Context, since time.Time, each func(*Message)) error {
	state, err := s.state(ctx)
	if err != nil {
		return err
	}
	_, err = s.scan(ctx, look{subject: message.BridgeSubjects(s.prefix), since: since, last: state.LastSeq}, func(m *Message) bool {
		each(m)
		return true
	})
	return err
}

// state returns the current state of the stream.
func (s *Stream) state(ctx context.Context) (jetstream.StreamState, error) {
	info, err := s.info(ctx)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return info.State, nil
}

func (s *Stream) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", s.name, refused(s.js.Conn(), err))
	}
	return info, nil
}

// message reads one message; nil if it was removed meanwhile.
func (s *Stream) message(ctx context.Context, seq uint64) (found *Message, err error) {
	_, err = s.scan(ctx, look{subject: s.all(), from: seq, last: seq}, func(m *Message) bool {
		found = m
		return false
	})
	return found, err
}

func (s *Stream) all() string { return s.prefix + ".>" }

// ParseSince parses a point in time: RFC 3339, or a duration before now in Go's syntax, optionally
// preceded by days, such as 7d or 1d12h.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	rest := text
	var ago time.Duration
	if days, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16) // 16 bits, as a Duration has no room for many more days
		if err != nil {
			return time.Time{}, errSince
		}
		ago, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return time.Time{}, errSince
		}
		ago += d
	}
	if text == "" || ago < 0 {
		return time.Time{}, errSince
	}
	return now.Add(-ago), nil
}

var errSince = errors.New("neither a duration such as 24h or 7d nor a time such as 2026-11-21T10:00:00Z")
