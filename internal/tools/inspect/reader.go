package inspect

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reader reads the messages of a look from an ephemeral consumer of its own, in the
// stream's order. A message that got lost on the way is an error: who reads on makes a
// new reader from there.
//
// The client's ordered consumer is not used: while NATS is away it waits for as
// long as that lasts, and no context ends it.
type reader struct {
	stream   *Stream
	consumer string
	messages jetstream.MessagesContext
	read     uint64 // messages
	pending  uint64 // messages that the stream holds beyond these
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
	if ctx.Err() != nil { // also while messages are at hand
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

// removeConsumer removes a consumer of a reader. One that stays for want of a connection
// is removed by the server.
func (s *Stream) removeConsumer(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.stream.DeleteConsumer(ctx, name) //nolint:errcheck // see above
}

// ahead is how many bytes are on their way at a time; the largest message must fit.
func (s *Stream) ahead() int { return max(aheadBytes, 2*int(s.js.Conn().MaxPayload())) }
