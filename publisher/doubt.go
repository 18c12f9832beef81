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

// inDoubt reports whether a message was sent so long ago that the stream may have
// stored it and forgotten its id since. A message without an id is never in doubt:
// it could not be recognised in the stream.
func (s *sender) inDoubt(e *entry, now time.Time) bool {
	window := s.opt.DuplicateWindow
	return e.sends > 0 && window > 0 && s.opt.Stream != "" && now.Sub(e.first) > window*3/4 && idOf(e.msg) != ""
}

func idOf(msg *nats.Msg) string { return msg.Header.Get(nats.MsgIdHdr) }

// lookUp finds out which of the sent and unacknowledged messages are stored, by
// reading what the stream stored since the oldest of them was sent. It settles
// those that are stored, and treats the others as sent only now.
func (s *sender) lookUp(ctx context.Context) error {
	if err := s.readIDs(ctx, s.doubtful()+1); err != nil {
		return fmt.Errorf("look up whether messages in doubt are stored: %w", err)
	}
	s.find()
	s.settle()
	return nil
}

// doubtful is the last sequence of the stream before any of the messages that may be stored.
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

// find looks for the messages that may be stored in what was read of the stream.
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
// messages are in doubt: an earlier process may leave thousands of them, and all their
// look-ups start at the same place.
type seen struct {
	from, through uint64            // first and last sequence that was read
	ids           map[string]uint64 // sequences by message id
}

// readIDs reads the ids of the stream's messages from a sequence to the end, except those
// already read.
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

// lookUpBatch is how many messages are requested at once. Nothing is published during a
// look-up, and requests one by one would take a round trip each. The bound limits memory,
// since the answers contain the bodies.
const lookUpBatch = 32

// readBatch reads the id of the next message, at whatever sequence it is, and those of the
// sequences right after it, up to lookUpBatch and last.
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
