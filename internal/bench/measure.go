package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// bench is a run.
type bench struct {
	plan
	*contenders
	*figures
}

// measure runs a plan. Contenders alternate round by round, so that a slow minute of the machine
// affects all alike.
func measure(ctx context.Context, p plan, zoomstream string, withNode bool) (*figures, error) {
	dir, err := os.MkdirTemp("", "zoomstream-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{plan: p, figures: newFigures(p.rounds)}
	if b.contenders, err = newContenders(ctx, zoomstream, withNode, dir); err != nil {
		return nil, err
	}
	if withNode && b.bridge == "" {
		b.note("No Node: node or npm is not there, so the bridge is not measured.")
	}
	if err := b.learn(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.chooseWindows(ctx); err != nil {
		return nil, err
	}
	for round := range p.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, after %v\n", round+1, p.rounds, time.Since(began).Round(time.Second))
		if err := b.round(ctx); err != nil {
			return nil, err
		}
	}
	b.summarize()
	return b.figures, nil
}

func (b *bench) round(ctx context.Context) error {
	for _, burst := range b.bursts {
		for _, name := range b.names {
			if err := b.inWorld(ctx, 1, func(w *world) error { return b.burst(ctx, w, name, burst) }); err != nil {
				return fmt.Errorf("burst of %s, %s: %w", burst.name, name, err)
			}
		}
	}
	for _, name := range b.names {
		if err := b.inWorld(ctx, 1, func(w *world) error { return b.latency(ctx, w, name) }); err != nil {
			return fmt.Errorf("latency, %s: %w", name, err)
		}
	}
	if err := b.inWorld(ctx, 1, func(w *world) error { return b.startup(ctx, w) }); err != nil {
		return fmt.Errorf("start to connected: %w", err)
	}
	if err := b.inWorld(ctx, 1, func(w *world) error { return b.catchUp(ctx, w, b.spooled, "") }); err != nil {
		return fmt.Errorf("catching up: %w", err)
	}
	return nil
}

// inWorld measures something in a new world with the given number of nats-servers.
func (b *bench) inWorld(ctx context.Context, servers int, do func(*world) error) error {
	w, err := newWorld(ctx, servers)
	if err != nil {
		return err
	}
	defer w.close()
	return do(w)
}
