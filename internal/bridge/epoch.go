package bridge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// epochSearch is how many of the stream's last messages may be looked at for an epoch.
const epochSearch = 256

// LastEpoch is the highest epoch of a subscription that its state and the end of the
// stream tell of; 0: none. With an error, it is what was found before. Without a state,
// the stream is read backwards to the subscription's last message, or so far. With one,
// which is written before any message of its epoch, the stream's last message will do.
func LastEpoch(ctx context.Context, js jetstream.JetStream, states *kv.Bucket, stream, subscription string) (uint64, error) {
	last, err := RecordedEpoch(ctx, states, subscription)
	if err != nil {
		return 0, err
	}
	search := uint64(1)
	if last == 0 {
		search = epochSearch
	}
	s, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return last, nil
	}
	if err != nil {
		return last, fmt.Errorf("look at stream %s: %w", stream, err)
	}
	for msg, err := range newestFirst(ctx, s, search) {
		if err != nil {
			return last, err
		}
		h := message.ParseHeaders(msg.Header)
		last = max(last, h.Epoch) // also a neighbour's, since all count from one bucket
		if h.Epoch > 0 && h.Subscription == subscription {
			break
		}
	}
	return last, nil
}

// RecordedEpoch is the epoch of a subscription's state; 0: there is none, or none that
// can be read.
func RecordedEpoch(ctx context.Context, states *kv.Bucket, subscription string) (uint64, error) {
	entry, err := states.Get(ctx, record.StatePrefix+subscription)
	if err != nil {
		return 0, err
	}
	state, _, _ := record.ReadState(entry.Value, subscription, time.Now()) // zero if that is no state
	return state.Epoch, nil
}

// newestFirst are the stream's last messages, from its last one backwards: those that
// are still there of so many sequences. It ends with the first error.
func newestFirst(ctx context.Context, stream jetstream.Stream, most uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		info := stream.CachedInfo()
		newest := info.State.LastSeq
		for sequence := newest; sequence > 0 && newest-sequence < most; sequence-- {
			msg, err := stream.GetMsg(ctx, sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				yield(nil, fmt.Errorf("read message %d of stream %s: %w", sequence, info.Config.Name, err))
				return
			}
			if !yield(msg, nil) {
				return
			}
		}
	}
}
