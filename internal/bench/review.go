package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// review is what the stream has of the events of one order.
type review struct {
	first, last time.Time // when they were stored
	missing     int
	repeated    int // stored more than once
	disordered  int // stored after a later one
}

func (r review) clean() bool { return r.missing+r.repeated+r.disordered == 0 }

func (r review) String() string {
	return fmt.Sprintf("%d missing, %d repeated, %d out of order", r.missing, r.repeated, r.disordered)
}

// review reads the stream and checks the events of an order, once they are stored. have is the
// number of events in the stream.
func (w *world) review(ctx context.Context, o order, have int) (review, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	consumer, err := w.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return review{}, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2000))
	if err != nil {
		return review{}, err
	}
	defer messages.Stop()
	body := newBody(o.Size)
	var r review
	seen, latest := make([]bool, o.Count), int64(0)
	for range have {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return review{}, fmt.Errorf("reading the stream: %w", err)
		}
		number, _, err := body.read(msg.Data())
		if err != nil {
			return review{}, err
		}
		if number < latest {
			r.disordered++
		}
		latest = max(latest, number)
		i := number - o.First
		if i < 0 || i >= int64(o.Count) {
			continue // of another order
		}
		if seen[i] {
			r.repeated++
			continue
		}
		seen[i] = true
		meta, err := msg.Metadata()
		if err != nil {
			return review{}, err
		}
		if r.first.IsZero() {
			r.first = meta.Timestamp
		}
		r.last = meta.Timestamp
	}
	for _, ok := range seen {
		if !ok {
			r.missing++
		}
	}
	return r, nil
}
