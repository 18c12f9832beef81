package main

import (
	"context"
	"syscall"
	"time"
)

// catchUp measures how fast the connector publishes what has come while NATS was
// away. It is on disk then.
func (b *bench) catchUp(ctx context.Context, w *world) error {
	e, err := b.contenders.start(ctx, w, connector)
	if err != nil {
		return err
	}
	const warm = 1000
	if err := b.warmUp(ctx, w, e, connector, b.order(1, warm, usualSize, 0)); err != nil {
		return err
	}
	w.server.stop(syscall.SIGTERM)
	o := b.order(warm+1, b.spooled, usualSize, 0)
	if _, err := e.sender.do(ctx, o); err != nil {
		return err
	}
	if err := e.awaitReceived(ctx, warm+b.spooled); err != nil {
		return err
	}
	if err := w.startServer(ctx); err != nil {
		return err
	}
	up := time.Now()
	if err := w.nc.FlushTimeout(10 * time.Second); err != nil { // we are connected again
		return err
	}
	have, err := w.awaitStored(ctx, warm+b.spooled)
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
	b.add("NATS back to first event", connector, found.first.Sub(up).Seconds()*1000)
	b.add("catching up", connector, float64(o.Count)/found.last.Sub(found.first).Seconds())
	b.add("peak memory catching up", connector, peak)
	return nil
}

// awaitReceived waits until the connector has read n events from its socket.
func (e *entrant) awaitReceived(ctx context.Context, n int) error {
	for {
		received, err := e.received(ctx)
		if err != nil {
			return e.process.failed(err)
		}
		if int(received) >= n {
			return nil
		}
		if err := sleep(ctx, askEvery); err != nil {
			return err
		}
	}
}
