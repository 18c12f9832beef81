// Package inspect reads the stream for people: where an event is and how it came
// there, and the gaps with what would fill them.
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
	// patience is how long the server may deliver nothing before a look at the
	// stream is given up.
	patience = 10 * time.Second
	// aheadBytes bound what is on its way at a time, and with it the memory, however
	// large single messages are.
	aheadBytes = 16 << 20
)

var (
	errStalled = fmt.Errorf("the server has delivered nothing for %s", patience)
	errLost    = errors.New("the connection to the server was interrupted; try again")
)

// Stream is a stream of events to be read.
type Stream struct {
	name   string
	prefix string
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Open finds a stream. The events are below prefix.
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

// Message is a message as it is stored.
type Message struct {
	Sequence uint64
	Stored   time.Time
	Subject  string
	Header   nats.Header
	Body     []byte // empty if only headers were read
}

// look says what of the stream is to be read.
type look struct {
	subject  string    // a filter
	subjects []string  // several of them instead; none may overlap another
	since    time.Time // stored since; zero: from the start
	from     uint64    // or from this sequence number on
	last     uint64    // to this sequence number at most
	headers  bool      // without bodies
}

// scan hands over the messages of a look, in the stream's order and with none left
// out, until each returns false. It returns how many it has handed over.
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

// failed prefers the reason why the context has ended.
func (s *Stream) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("read stream %s: %w", s.name, refused(s.js.Conn(), err))
}

// refused names what JetStream does not: a request without permission only gets no
// answer.
func refused(nc *nats.Conn, err error) error {
	last := nc.LastError()
	unanswered := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStalled)
	if unanswered && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w; nats.conf has a user that may read", last)
	}
	return err
}

// Control hands over the bridge's own messages stored since a time, in order.
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

// state is what the stream holds now.
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

// message reads one message. There is none if it was removed meanwhile.
func (s *Stream) message(ctx context.Context, seq uint64) (found *Message, err error) {
	_, err = s.scan(ctx, look{subject: s.all(), from: seq, last: seq}, func(m *Message) bool {
		found = m
		return false
	})
	return found, err
}

func (s *Stream) all() string { return s.prefix + ".>" }

// ParseSince reads a point in time: RFC 3339, or how long before now, in Go's
// syntax with days before it, such as 7d or 1d12h.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	rest := text
	var ago time.Duration
	if days, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16) // more do not fit a Duration
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
