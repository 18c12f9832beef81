package main

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

// catchUp measures how fast zoomstream publishes the given number of events that arrived while NATS
// was away and are therefore on disk. suffix is appended to the measure's name.
func (b *bench) catchUp(ctx context.Context, w *world, spooled int, suffix string) error {
	e, err := b.contenders.start(ctx, w, connector)
	if err != nil {
		return err
	}
	const warm = 1000
	if err := b.warmUp(ctx, w, e, connector, b.order(1, warm, usualSize, 0)); err != nil {
		return err
	}
	w.stopServers()
	o := b.order(warm+1, spooled, usualSize, 0)
	if _, err := e.sender.do(ctx, o); err != nil {
		return err
	}
	if err := e.awaitReceived(ctx, warm+spooled); err != nil {
		return err
	}
	if err := w.startServers(ctx); err != nil {
		return err
	}
	up := time.Now()
	if err := w.nc.FlushTimeout(10 * time.Second); err != nil { // our own connection is back
		return err
	}
	have, err := w.awaitStored(ctx, warm+spooled)
	if err != nil {
		return err
	}
	found, err := w.review(ctx, o, have)
	if err != nil {
		return err
	}
	if err := b.check(connector, "catching up", e, found); err != nil {
		return err
	}
	peak, err := e.process.memory("VmHWM")
	if err != nil {
		return err
	}
	b.add("NATS back to first event"+suffix, connector, found.first.Sub(up).Seconds()*1000)
	b.add("catching up"+suffix, connector, float64(o.Count)/found.last.Sub(found.first).Seconds())
	b.add("peak memory catching up"+suffix, connector, peak)
	return nil
}

// awaitReceived waits until zoomstream has read n events from its socket.
func (e *entrant) awaitReceived(ctx context.Context, n int) error {
	for {
		received, err := e.received(ctx)
		if err != nil {
			return e.process.failed(err)
		}
		if int(received) >= n {
			return nil
		}
		if err := sleep.For(ctx, askEvery); err != nil {
			return err
		}
	}
}
