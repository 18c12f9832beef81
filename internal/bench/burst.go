package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

// settle is the time for a process to finish after the last event is stored, for acknowledgements.
// It sleeps for most of it, so its CPU time stays correct.
const settle = 200 * time.Millisecond

// burst measures rate, CPU time, allocations and peak memory.
func (b *bench) burst(ctx context.Context, w *world, name string, of burst) error {
	e, err := b.contenders.start(ctx, w, name)
	if err != nil {
		return err
	}
	warm := of.count / 20
	if err := b.warmUp(ctx, w, e, name, b.order(1, warm, of.size, 0)); err != nil {
		return err
	}
	before, err := w.costs(ctx, e)
	if err != nil {
		return err
	}
	o := b.order(int64(warm)+1, of.count, of.size, 0)
	sent, err := e.sender.do(ctx, o)
	if err != nil {
		return err
	}
	have, err := w.awaitStored(ctx, warm+of.count)
	if err != nil {
		return err
	}
	if err := sleep.For(ctx, settle); err != nil {
		return err
	}
	after, err := w.costs(ctx, e)
	if err != nil {
		return err
	}
	found, err := w.review(ctx, o, have)
	if err != nil {
		return err
	}
	if err := b.check(name, "burst of "+of.name, e, found); err != nil {
		return err
	}
	count := float64(of.count - found.missing)
	took := found.last.Sub(time.Unix(0, sent.Started))
	b.add("burst "+of.name, name, count/took.Seconds())
	b.add("CPU "+of.name, name, micros(after.cpu-before.cpu)/count)
	b.add("server's CPU "+of.name, name, micros(after.server-before.server)/count)
	b.add("peak memory "+of.name, name, after.peak)
	switch {
	case e.mallocs != nil:
		b.add("allocations "+of.name, name, (after.mallocs-before.mallocs)/count)
	case sent.Allocated > 0:
		b.add("allocations "+of.name, name, float64(sent.Allocated)/count)
	}
	return nil
}

// warmUp sends the first events, which are not measured.
func (b *bench) warmUp(ctx context.Context, w *world, e *entrant, name string, o order) error {
	if _, err := e.sender.do(ctx, o); err != nil {
		return err
	}
	n, err := w.awaitStored(ctx, o.Count)
	if err == nil && n != o.Count && name != node {
		err = e.process.failed(fmt.Errorf("%d of %d events are stored", n, o.Count))
	}
	return err
}

// check verifies what happened to the events. The Node bridge may lose some, which becomes a note.
// For the others a loss would make the measurement worthless.
func (b *bench) check(name, what string, e *entrant, found review) error {
	if found.clean() {
		return nil
	}
	if name != node {
		return e.process.failed(fmt.Errorf("the stream is not what was sent: %v", found))
	}
	b.note(fmt.Sprintf("%s, %s: %v", what, name, found))
	return nil
}

// costs are the resources a contender has used so far.
type costs struct {
	cpu, server   time.Duration
	mallocs, peak float64
}

func (w *world) costs(ctx context.Context, e *entrant) (c costs, err error) {
	if e.mallocs != nil {
		if c.mallocs, err = e.mallocs(ctx); err != nil {
			return c, err
		}
	}
	if c.cpu, err = e.process.cpu(); err != nil {
		return c, err
	}
	if c.server, err = w.serverCPU(); err != nil {
		return c, err
	}
	c.peak, err = e.process.memory("VmHWM")
	return c, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// chooseWindows finds the best window of the bare publisher for each size.
func (b *bench) chooseWindows(ctx context.Context) error {
	for _, burst := range b.bursts {
		best := 0.0
		for _, window := range b.windows {
			err := b.inWorld(ctx, 1, func(w *world) error {
				rate, err := b.tryWindow(ctx, w, burst.size, window)
				if rate > best {
					best, b.window[burst.size] = rate, window
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("window of %d: %w", window, err)
			}
		}
		b.Windows[burst.name] = b.window[burst.size]
		fmt.Fprintf(os.Stderr, "the bare publisher's window for %s: %d\n", burst.name, b.window[burst.size])
	}
	return nil
}

// tryWindow returns the rate of the bare publisher with a window, in events per second.
func (b *bench) tryWindow(ctx context.Context, w *world, size, window int) (float64, error) {
	e, err := b.contenders.start(ctx, w, bare)
	if err != nil {
		return 0, err
	}
	count := b.trial * usualSize / max(size, usualSize)
	o := b.order(1, count, size, 0)
	o.Window = window
	if err := b.warmUp(ctx, w, e, bare, o); err != nil {
		return 0, err
	}
	o.First += int64(count)
	sent, err := e.sender.do(ctx, o)
	if err != nil {
		return 0, err
	}
	return float64(count) / time.Duration(sent.Ended-sent.Started).Seconds(), nil
}
