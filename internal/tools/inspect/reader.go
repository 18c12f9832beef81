package inspect

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reader reads the messages of a look from an ephemeral consumer of its own, in the stream's order.
// A lost message is an error: to continue, create a new reader from there.
//
// It does not use nats.go's ordered consumer, which waits as long as NATS is away and ignores the
// end of its context.
type reader struct {
	stream   *Stream
	consumer string
	messages jetstream.MessagesContext
	read     uint64 // number of messages read
	pending  uint64 // number of further messages in the stream
}

func (s *Stream) newReader(ctx context.Context, l look) (*reader, error) {
	consumer, err := s.stream.CreateConsumer(ctx, l.consumer())
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	info := consumer.CachedInfo()
	r := &reader{stream: s, consumer: info.Name, pending: info.NumPending}
	if r.messages, err = consumer.Messages(jetstream.PullMaxBytes(s.ahead()), jetstream.PullHeartbeat(patience/2)); err != nil {
		s.removeConsumer(ctx, r.consumer)
		return nil, s.failed(ctx, err)
	}
	return r, nil
}

// next waits for the next message.
func (r *reader) next(ctx context.Context) (*Message, error) {
	if ctx.Err() != nil { // even if messages are buffered
		return nil, r.stream.failed(ctx, ctx.Err())
	}
	msg, err := r.messages.Next(jetstream.NextContext(ctx))
	if errors.Is(err, jetstream.ErrNoHeartbeat) {
		err = errStalled
	}
	if err != nil {
		return nil, r.stream.failed(ctx, err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, r.stream.failed(ctx, err)
	}
	if meta.Sequence.Consumer != r.read+1 {
		return nil, r.stream.failed(ctx, errLost)
	}
	r.read, r.pending = r.read+1, meta.NumPending
	return &Message{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data()}, nil
}

func (r *reader) close(ctx context.Context) {
	r.messages.Stop()
	r.stream.removeConsumer(ctx, r.consumer)
}

// removeConsumer removes a reader's consumer. Without a connection, the server removes it later.
func (s *Stream) removeConsumer(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.stream.DeleteConsumer(ctx, name) //nolint:errcheck // see above
}

// ahead is how many bytes may be in transit; the largest message must fit.
func (s *Stream) ahead() int { return max(aheadBytes, 2*int(s.js.Conn().MaxPayload())) }
