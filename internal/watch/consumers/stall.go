package consumers

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stuckAfter is how long a consumer may acknowledge nothing while it receives messages
	// repeatedly.
	stuckAfter = 5 * time.Minute
	// stuckDeliveries is how many redeliveries of one message in that time are too many.
	stuckDeliveries = 10
)

// stall is the state of a consumer at the start of a period without acknowledgements.
type stall struct {
	since   time.Time
	created time.Time // of the consumer
	acked   time.Time // its last acknowledgement; zero: none since its server started
	floor   uint64
	repeats int64 // value of repeats at that time
}

// repeats returns the number of redeliveries plus a number that is constant while nothing is
// acknowledged.
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

// follow compares each consumer with its previous state and returns how long each stuck one has
// been stuck.
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
		// All redelivered messages are still unacknowledged, so at least one of them was
		// redelivered as often as the average.
		again := fresh.repeats - s.repeats
		if d := now.Sub(s.since); d >= stuckAfter && info.NumRedelivered > 0 && again > stuckDeliveries*int64(info.NumRedelivered) {
			stuck[info.Name] = d
		}
	}
	r.stalls = stalls
	return stuck
}
