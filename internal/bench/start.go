package main

import (
	"context"
	"syscall"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

// idleFor is how long zoomstream is left alone before its idle memory is read.
const idleFor = 2 * time.Second

// startup measures the time from the start of zoomstream's process until Zoom reports that it is
// connected, and its memory without any event. The very first start does not count: it creates the
// stream and the buckets.
func (b *bench) startup(ctx context.Context, w *world) error {
	source, environ, err := w.startZoom(ctx)
	if err != nil {
		return err
	}
	for i := range b.starts + 1 {
		e := &entrant{sender: source}
		began := time.Now()
		if err := b.startConnector(ctx, w, environ, e); err != nil {
			return err
		}
		r, err := source.next(ctx)
		if err != nil {
			return e.process.failed(err)
		}
		if i > 0 {
			b.add("start to connected", connector, time.Unix(0, r.Connected).Sub(began).Seconds()*1000)
		}
		if i == b.starts {
			if err := sleep.For(ctx, idleFor); err != nil {
				return err
			}
			idle, err := e.process.memory("VmRSS")
			if err != nil {
				return err
			}
			b.add("idle memory", connector, idle)
		}
		e.process.stop(syscall.SIGTERM)
	}
	return nil
}
