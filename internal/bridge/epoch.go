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

// epochSearch is the number of the stream's last messages that are searched for an epoch.
const epochSearch = 256

// LastEpoch returns the highest epoch found in a subscription's state and at the end of the
// stream; 0: none. With an error it returns what was found before. Without a state it reads
// the stream backwards to the subscription's last message, or epochSearch messages. With a
// state it reads only the stream's last message: the state is written before any message of
// its epoch.
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
		last = max(last, h.Epoch) // also another subscription's: all epochs are revisions of one bucket
		if h.Epoch > 0 && h.Subscription == subscription {
			break
		}
	}
	return last, nil
}

// RecordedEpoch returns the epoch of a subscription's state; 0: there is no state, or it
// cannot be parsed.
func RecordedEpoch(ctx context.Context, states *kv.Bucket, subscription string) (uint64, error) {
	entry, err := states.Get(ctx, record.StatePrefix+subscription)
	if err != nil {
		return 0, err
	}
	state, _, _ := record.ReadState(entry.Value, subscription, time.Now()) // zero if that is no state
	return state.Epoch, nil
}

// newestFirst yields, newest first, the messages that still exist among the stream's last
// maxSequences sequences. It stops at the first error.
func newestFirst(ctx context.Context, stream jetstream.Stream, maxSequences uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		info := stream.CachedInfo()
		newest := info.State.LastSeq
		for sequence := newest; sequence > 0 && newest-sequence < maxSequences; sequence-- {
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
