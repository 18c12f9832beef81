package consumers

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stuckAfter is how long a consumer may acknowledge nothing while it gets messages again.
	stuckAfter = 5 * time.Minute
	// stuckDeliveries of one message in that time are too many.
	stuckDeliveries = 10
)

// stall is since when a consumer has acknowledged nothing.
type stall struct {
	since   time.Time
	created time.Time // of the consumer
	acked   time.Time // its last acknowledgement; zero: none since its server started
	floor   uint64
	repeats int64 // see repeats, at the beginning
}

// repeats is how often messages were delivered again, and a number that stays the same as
// long as nothing is acknowledged.
func repeats(info *jetstream.ConsumerInfo) int64 {
	return int64(info.Delivered.Consumer) - int64(info.NumAckPending) //nolint:gosec // it counts single messages
}

func begin(info *jetstream.ConsumerInfo, now time.Time) stall {
	s := stall{since: now, created: info.Created, floor: info.AckFloor.Stream, repeats: repeats(info)}
	if info.AckFloor.Last != nil {
		s.acked = *info.AckFloor.Last
	}
	return s
}

// follow compares each consumer with what it was, and returns for how long those are stuck
// that are.
func (r *Reader) follow(all []*jetstream.ConsumerInfo, now time.Time) map[string]time.Duration {
	stuck, stalls := make(map[string]time.Duration), make(map[string]stall)
	for _, info := range all {
		if info.NumAckPending == 0 || info.Config.MaxDeliver == 1 {
			continue
		}
		s, fresh := r.stalls[info.Name], begin(info, now)
		if !s.created.Equal(fresh.created) || !s.acked.Equal(fresh.acked) || s.floor != fresh.floor || fresh.repeats < s.repeats {
			s = fresh
		}
		stalls[info.Name] = s
		// All that was delivered again is still unacknowledged. So one message was delivered
		// again as often as all were on average, or oftener.
		again := fresh.repeats - s.repeats
		if d := now.Sub(s.since); d >= stuckAfter && info.NumRedelivered > 0 && again > stuckDeliveries*int64(info.NumRedelivered) {
			stuck[info.Name] = d
		}
	}
	r.stalls = stalls
	return stuck
}
