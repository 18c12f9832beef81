package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inDoubt reports whether a message was sent so long ago that the stream may
// have stored it and forgotten its id since. One without an id cannot be told
// from others.
func (s *sender) inDoubt(e *entry) bool {
	window := s.opt.DuplicateWindow
	return e.sends > 0 && window > 0 && s.opt.Stream != "" && time.Since(e.first) > window*3/4 && idOf(e.msg) != ""
}

func idOf(msg *nats.Msg) string { return msg.Header.Get(nats.MsgIdHdr) }

// lookUp finds out which of the sent and unacknowledged messages are stored,
// by reading what the stream has got since the oldest of them was sent. It
// settles those, and takes the others for not sent.
func (s *sender) lookUp(ctx context.Context) error {
	w := s.window
	doubts := make(map[string]*entry)
	from := ^uint64(0)
	for n := w.head; n < w.tail; n++ {
		if e := w.at(n); !e.acked && e.sends > 0 && idOf(e.msg) != "" {
			doubts[idOf(e.msg)] = e
			from = min(from, e.after)
		}
	}
	last, err := s.readIDs(ctx, from+1, func(id string, sequence uint64) bool {
		if e, ok := doubts[id]; ok {
			delete(doubts, id)
			s.stored(e, sequence, false)
			s.settle(1, e.size, 0, sequence)
		}
		return len(doubts) > 0
	})
	if err != nil {
		return fmt.Errorf("look up whether messages in doubt are stored: %w", err)
	}
	for _, e := range doubts {
		e.first, e.after = time.Now(), last
	}
	w.advance()
	return nil
}

// readIDs hands over the ids of the stream's messages from a sequence on, until
// told to stop, and returns the stream's last sequence.
func (s *sender) readIDs(ctx context.Context, from uint64, next func(id string, sequence uint64) (more bool)) (last uint64, err error) {
	js, err := jetstream.New(s.nc, jetstream.WithDefaultTimeout(s.opt.AckWait))
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, s.opt.Stream)
	if err != nil {
		return 0, err
	}
	last = stream.CachedInfo().State.LastSeq
	for from <= last {
		msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(">")) // the next one that is not deleted
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return last, nil
		}
		if err != nil {
			return 0, err
		}
		if !next(msg.Header.Get(nats.MsgIdHdr), msg.Sequence) {
			return last, nil
		}
		from = msg.Sequence + 1
	}
	return last, nil
}
