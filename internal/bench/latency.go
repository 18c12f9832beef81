package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// latency measures the time from writing an event to the socket, or from publishing it, to its
// arrival at a subscriber of zoom.>. Both times are from this machine's clock.
func (b *bench) latency(ctx context.Context, w *world, name string) error {
	e, err := b.contenders.start(ctx, w, name)
	if err != nil {
		return err
	}
	warm := b.order(1, 500, usualSize, 1000)
	if err := b.warmUp(ctx, w, e, name, warm); err != nil {
		return err
	}
	first := warm.First + int64(warm.Count)
	for _, run := range b.rates {
		o := b.order(first, run.count(), usualSize, run.rate)
		took, err := w.subscribed(ctx, e, o)
		if err != nil {
			return fmt.Errorf("at %v/s: %w", run.rate, err)
		}
		if missing := o.Count - len(took); missing > 0 {
			if err := b.check(name, fmt.Sprintf("latency at %v/s", run.rate), e, review{missing: missing}); err != nil {
				return err
			}
		}
		slices.Sort(took)
		b.add(fmt.Sprintf("latency %v/s p50", run.rate), name, micros(quantile(took, 0.50)))
		b.add(fmt.Sprintf("latency %v/s p99", run.rate), name, micros(quantile(took, 0.99)))
		first += int64(o.Count)
	}
	return nil
}

// subscribed executes an order and returns the time that each event took to the subscriber, for
// those that arrived.
func (w *world) subscribed(ctx context.Context, e *entrant, o order) ([]time.Duration, error) {
	body := newBody(o.Size)
	took := make([]time.Duration, 0, o.Count)
	var came atomic.Int64
	all := make(chan struct{})
	sub, err := w.nc.Subscribe("zoom.>", func(msg *nats.Msg) {
		now := time.Now().UnixNano()
		number, sent, err := body.read(msg.Data)
		if err != nil || number < o.First || len(took) == o.Count {
			return // not an event of this order
		}
		took = append(took, time.Duration(now-sent))
		if came.Add(1) == int64(o.Count) {
			close(all)
		}
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(ended) })
	if err := errors.Join(sub.SetPendingLimits(-1, -1), w.nc.Flush()); err != nil {
		return nil, err
	}
	if _, err := e.sender.do(ctx, o); err != nil {
		return nil, err
	}
	for before := int64(-1); ; {
		select {
		case <-all:
		case <-time.After(2 * time.Second):
			if now := came.Load(); now != before {
				before = now
				continue
			}
		case <-ctx.Done():
		}
		break
	}
	if err := sub.Unsubscribe(); err != nil {
		return nil, err
	}
	<-ended
	return took, context.Cause(ctx)
}

// quantile returns a quantile of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
