package status

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zoomstream/zoomstream/message"
)

// Values of Replica.Shortened.
const (
	withoutHistory       = "history"
	withoutDetails       = "details"
	withoutSubscriptions = "subscriptions" // some of them are missing
)

const (
	sampleSize = 75  // minimum bytes of a sample in JSON
	detailSize = 200 // bytes kept of a text when details are dropped
)

// encode encodes the answer in at most limit bytes. With hundreds of subscriptions it can exceed
// NATS' message limit, and a partial answer is better than none.
func encode(r *Replica, limit int) ([]byte, error) {
	if samples := samples(r); samples > 0 {
		if samples*sampleSize <= limit {
			if text, err := marshal(r); err != nil || len(text) <= limit {
				return text, err
			}
		}
		r = withoutSamples(r)
	}
	text, err := marshal(r)
	if err != nil || len(text) <= limit {
		return text, err
	}
	r = essentials(r)
	text, err = marshal(r)
	if err != nil || len(text) <= limit {
		return text, err
	}
	return fitted(*r, limit)
}

func samples(r *Replica) (n int) {
	for _, s := range r.Subscriptions {
		n += len(s.History)
	}
	return n
}

func withoutSamples(r *Replica) *Replica {
	short := *r
	short.Shortened = withoutHistory
	short.Subscriptions = slices.Clone(r.Subscriptions)
	for i := range short.Subscriptions {
		short.Subscriptions[i].History = nil
	}
	return &short
}

// essentials keeps what tells whether all is well.
func essentials(r *Replica) *Replica {
	short := *r
	short.Shortened = withoutDetails
	short.Subscriptions = make([]Subscription, len(r.Subscriptions))
	for i, s := range r.Subscriptions {
		short.Subscriptions[i] = Subscription{
			Subscription: s.Subscription, Role: s.Role, Leader: s.Leader, LeaderNonce: s.LeaderNonce, Epoch: s.Epoch, Since: s.Since,
			State: s.State, StateSince: s.StateSince, Trouble: message.Short(s.Trouble, detailSize), LastFrame: s.LastFrame, LastEvent: s.LastEvent,
			InFlight: s.InFlight, Rate: s.Rate, Late: s.Late,
		}
	}
	short.Consumers = r.Consumers.notable()
	short.Alarms = slices.Clone(r.Alarms)
	for i := range short.Alarms {
		short.Alarms[i].Detail = message.Short(short.Alarms[i].Detail, detailSize)
	}
	return &short
}

// fitted drops what does not fit: first the consumers, then subscriptions (those that others lead
// before its own), then alarms, then everything but the replica's identity.
func fitted(r Replica, limit int) ([]byte, error) {
	subscriptions, alarms := r.Subscriptions, r.Alarms
	r.Shortened, r.Subscriptions, r.Alarms, r.Consumers = withoutSubscriptions, []Subscription{}, []Alarm{}, nil
	text, err := marshal(r)
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return marshal(Replica{
			Replica: r.Replica, Nonce: r.Nonce, Started: r.Started, Now: r.Now, Phase: r.Phase, Shortened: r.Shortened,
			Subscriptions: []Subscription{}, Others: []Other{}, Alarms: []Alarm{},
		})
	}
	slices.SortStableFunc(subscriptions, func(a, b Subscription) int {
		return strings.Compare(string(a.Role), string(b.Role)) // leader before standby
	})
	size := len(text)
	r.Alarms, size = fill(alarms, size, limit)
	r.Subscriptions, _ = fill(subscriptions, size, limit)
	return marshal(r)
}

// fill returns as many elements as fit, and size increased by theirs.
func fill[T any](all []T, size, limit int) ([]T, int) {
	for i := range all {
		text, err := marshal(all[i])
		size += len(text) + 1 // plus a comma
		if err != nil || size > limit {
			return all[:i], size - len(text) - 1
		}
	}
	return all, size
}

// encodeSeen encodes the answer about repetitions in at most limit bytes.
func encodeSeen(replica string, seen []Seen, limit int) ([]byte, error) {
	answer := SeenAnswer{Replica: replica, Seen: []Seen{}}
	text, err := marshal(answer)
	if err != nil {
		return nil, err
	}
	found, _ := fill(seen, len(text), limit)
	answer.Seen = list(found)
	return marshal(answer)
}

func marshal(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return text, nil
}
