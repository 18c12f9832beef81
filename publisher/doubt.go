package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// inDoubt reports whether a message was sent so long ago that the stream may
// have stored it and forgotten its id since. One without an id cannot be told
// from others.
func (s *sender) inDoubt(e *entry, now time.Time) bool {
	window := s.opt.DuplicateWindow
	return e.sends > 0 && window > 0 && s.opt.Stream != "" && now.Sub(e.first) > window*3/4 && idOf(e.msg) != ""
}

func idOf(msg *nats.Msg) string { return msg.Header.Get(nats.MsgIdHdr) }

// lookUp finds out which of the sent and unacknowledged messages are stored,
// by reading what the stream has got since the oldest of them was sent. It
// settles those, and takes the others for not sent.
func (s *sender) lookUp(ctx context.Context) error {
	if err := s.readIDs(ctx, s.doubtful()+1); err != nil {
		return fmt.Errorf("look up whether messages in doubt are stored: %w", err)
	}
	s.find()
	s.settle()
	return nil
}

// doubtful is the last sequence of the stream that is older than all messages that may
// be stored.
func (s *sender) doubtful() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := ^uint64(0)
	for n := s.queue.head; n < s.queue.tail; n++ {
		if e := s.queue.at(n); !e.acked && e.sends > 0 && idOf(e.msg) != "" {
			after = min(after, e.after)
		}
	}
	return after
}

// find applies what was read to the messages that may be stored.
func (s *sender) find() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for n := s.queue.head; n < s.queue.tail; n++ {
		e := s.queue.at(n)
		if e.acked || e.sends == 0 || idOf(e.msg) == "" {
			continue
		}
		if sequence, ok := s.seen.ids[idOf(e.msg)]; ok {
			s.store(e, pubAck{Sequence: sequence})
			continue
		}
		e.first, e.after = now, s.seen.through
	}
	s.lastSeq = s.seen.through
}

// seen is what was read of the stream to look messages up. It is kept as long as
// messages are in doubt: those that an earlier process has left come in their
// thousands, and all begin at the same place.
type seen struct {
	from, through uint64            // sequences that were read
	ids           map[string]uint64 // of these messages, with their sequences
}

// readIDs reads the ids of the stream's messages from a sequence on, as far as that
// has not been done.
func (s *sender) readIDs(ctx context.Context, from uint64) error {
	stream, err := s.js.Stream(ctx, s.opt.Stream)
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	if from > last+1 || s.seen.through > last { // the stream was created again
		from, s.seen = 1, seen{}
	}
	if s.seen.ids == nil || from < s.seen.from {
		s.seen = seen{from: from, through: from - 1, ids: make(map[string]uint64)}
	}
	for s.seen.through < last {
		if err := s.readBatch(ctx, stream, last); err != nil {
			return err
		}
	}
	return nil
}

// lookUpBatch is how many messages are asked for at once: nothing is published
// meanwhile, and one after the other would take a round trip each. It bounds memory,
// as the answers hold the bodies.
const lookUpBatch = 32

// readBatch reads the id of the next message, wherever it is, and those of the
// sequences right behind it.
func (s *sender) readBatch(ctx context.Context, stream jetstream.Stream, last uint64) error {
	next, err := stream.GetMsg(ctx, s.seen.through+1, jetstream.WithGetMsgSubject(">")) // not deleted
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		s.seen.through = last
		return nil
	}
	if err != nil {
		return err
	}
	through := min(next.Sequence+lookUpBatch, max(next.Sequence, last))
	msgs := make([]*jetstream.RawStreamMsg, through-next.Sequence)
	group, ctx := errgroup.WithContext(ctx)
	for i := range msgs {
		group.Go(func() error {
			msg, err := stream.GetMsg(ctx, next.Sequence+1+uint64(i))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil // deleted
			}
			msgs[i] = msg
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, msg := range append(msgs, next) {
		if msg != nil {
			s.seen.ids[msg.Header.Get(nats.MsgIdHdr)] = msg.Sequence
		}
	}
	s.seen.through = through
	return nil
}
