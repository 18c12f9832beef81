package bridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// epochSearch is how many of the stream's last messages may be looked at for an epoch.
const epochSearch = 256

// LastEpoch is the highest epoch of a subscription that its state and the end of the
// stream tell of; 0: none. With an error, it is what was found before. Without a state,
// the stream is read backwards to the subscription's last message, or so far. With one,
// which is written before any message of its epoch, the stream's last message will do.
func LastEpoch(ctx context.Context, js jetstream.JetStream, states *kv.Bucket, stream, subscription string) (uint64, error) {
	last, search := uint64(0), uint64(1)
	entry, err := states.Get(ctx, statePrefix+subscription)
	if err != nil {
		return 0, err
	}
	if state, _, err := record.ReadState(entry.Value, subscription, time.Now()); err == nil {
		last = state.Epoch
	} else {
		search = epochSearch
	}
	s, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return last, nil
	}
	if err != nil {
		return last, fmt.Errorf("look at stream %s: %w", stream, err)
	}
	newest := s.CachedInfo().State.LastSeq
	for sequence := newest; sequence > 0 && newest-sequence < search; sequence-- {
		msg, err := s.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return last, fmt.Errorf("read message %d of stream %s: %w", sequence, stream, err)
		}
		epoch, err := strconv.ParseUint(msg.Header.Get(headerEpoch), 10, 64)
		if err == nil && epoch < record.MaxNumber { // also a neighbour's, since all count from one bucket
			last = max(last, epoch)
		}
		if err == nil && msg.Header.Get(headerSubscription) == subscription {
			break
		}
	}
	return last, nil
}
