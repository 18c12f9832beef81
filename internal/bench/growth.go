package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

// growthPlan is what a run of growth measures.
type growthPlan struct {
	plan
	replicated int   // number of 1 KiB events into a cluster
	spools     []int // numbers of events that arrive while NATS is away
	fleets     []fleet
}

// fleet is a number of subscriptions and the number of replicas that lead them.
type fleet struct{ subscriptions, replicas int }

func fullGrowth() growthPlan {
	p := growthPlan{plan: fullPlan(1), replicated: 50_000, spools: []int{5000, 50_000, 200_000}}
	p.rates, p.starts, p.spooled, p.idle = nil, 0, 0, 10*time.Second
	p.bursts = []burst{
		{"300 B", 300, 100_000}, {"1 KiB", 1 << 10, 100_000}, {"4 KiB", 4 << 10, 50_000},
		{"16 KiB", 16 << 10, 10_000}, {"64 KiB", 64 << 10, 3000}, {"256 KiB", 256 << 10, 800}, {"1000 KB", 1_000_000, 200},
	}
	p.fleets = []fleet{{1, 1}, {10, 1}, {100, 1}, {1000, 1}, {100, 2}, {100, 3}, {100, 10}}
	return p
}

// growth measures events of increasing size, replication of the stream, catching up with increasing
// spools, and what additional subscriptions and replicas cost while no event comes.
func growth(ctx context.Context, p growthPlan, zoomstream string) (*figures, error) {
	dir, err := os.MkdirTemp("", "zoomstream-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{plan: p.plan, figures: newFigures(1)}
	if b.contenders, err = newContenders(ctx, zoomstream, false, dir); err != nil {
		return nil, err
	}
	if err := b.learn(ctx); err != nil {
		return nil, err
	}
	if err := b.chooseWindows(ctx); err != nil {
		return nil, err
	}
	for _, burst := range b.bursts {
		for _, name := range b.names {
			if err := b.inWorld(ctx, 1, func(w *world) error { return b.burst(ctx, w, name, burst) }); err != nil {
				return nil, fmt.Errorf("burst of %s, %s: %w", burst.name, name, err)
			}
		}
	}
	if err := b.replicated(ctx, p.replicated); err != nil {
		return nil, err
	}
	for _, spooled := range p.spools {
		suffix := fmt.Sprintf(" %d", spooled)
		if err := b.inWorld(ctx, 1, func(w *world) error { return b.catchUp(ctx, w, spooled, suffix) }); err != nil {
			return nil, fmt.Errorf("catching up%s: %w", suffix, err)
		}
	}
	for _, f := range p.fleets {
		if err := b.inWorld(ctx, 1, func(w *world) error { return b.fleet(ctx, w, f.subscriptions, f.replicas) }); err != nil {
			return nil, fmt.Errorf("%d subscriptions, %d replicas: %w", f.subscriptions, f.replicas, err)
		}
	}
	b.summarize()
	return b.figures, nil
}

// replicated measures a burst into a stream on a cluster of three, with one replica and with three.
func (b *bench) replicated(ctx context.Context, events int) error {
	const servers = 3
	usual := b.stream
	defer func() { b.stream = usual }()
	for _, copies := range []int{1, servers} {
		b.stream.Replicas = copies
		of := burst{fmt.Sprintf("1 KiB, %d of %d servers", copies, servers), usualSize, events}
		for _, name := range b.names {
			if err := b.inWorld(ctx, servers, func(w *world) error { return b.burst(ctx, w, name, of) }); err != nil {
				return fmt.Errorf("burst of %s, %s: %w", of.name, name, err)
			}
		}
	}
	return nil
}

// fleet measures replicas while no event comes.
func (b *bench) fleet(ctx context.Context, w *world, subscriptions, replicas int) error {
	source, environ, err := w.startZoom(ctx)
	if err != nil {
		return err
	}
	for i, setting := range environ {
		if name, url, _ := strings.Cut(setting, "="); name == "ZOOM_WEBSOCKET_URL" {
			environ[i] = name + "=" + endpoints(url, subscriptions)
		}
	}
	began := time.Now()
	var all []*entrant
	for n := range replicas {
		e := &entrant{sender: source}
		own := []string{fmt.Sprintf("ZOOMSTREAM_REPLICA=r%d", n), "ZOOMSTREAM_DATA_DIR=" + filepath.Join(w.dir, fmt.Sprint("data", n))}
		if err := b.startConnector(ctx, w, append(own, environ...), e); err != nil {
			return err
		}
		all = append(all, e)
	}
	for range subscriptions {
		if _, err := source.next(ctx); err != nil {
			return all[0].process.failed(err)
		}
	}
	name := fmt.Sprintf("%d subscriptions, %d replicas", subscriptions, replicas)
	b.add("connected "+name, connector, time.Since(began).Seconds())
	if err := sleep.For(ctx, idleFor); err != nil {
		return err
	}
	before, err := w.fleetCosts(all)
	if err != nil {
		return err
	}
	if err := sleep.For(ctx, b.idle); err != nil {
		return err
	}
	after, err := w.fleetCosts(all)
	if err != nil {
		return err
	}
	perSecond := func(d time.Duration) float64 { return d.Seconds() * 1000 / b.idle.Seconds() }
	b.add("memory "+name, connector, after.peak/float64(replicas))
	b.add("idle CPU "+name, connector, perSecond(after.cpu-before.cpu)/float64(replicas))
	b.add("server's idle CPU "+name, connector, perSecond(after.server-before.server))
	return nil
}

// fleetCosts returns the CPU time of all replicas, and their resident memory.
func (w *world) fleetCosts(all []*entrant) (sum costs, err error) {
	for _, e := range all {
		cpu, err := e.process.cpu()
		if err != nil {
			return sum, err
		}
		memory, err := e.process.memory("VmRSS")
		if err != nil {
			return sum, err
		}
		sum.cpu += cpu
		sum.peak += memory
	}
	sum.server, err = w.serverCPU()
	return sum, err
}

// endpoints returns the URLs of count subscriptions, derived from the URL of one.
func endpoints(url string, count int) string {
	path, _, _ := strings.Cut(url, "subscriptionId=")
	var all []string
	for n := range count {
		all = append(all, fmt.Sprintf("%ssubscriptionId=%022d", path, n))
	}
	return strings.Join(all, ",")
}

// list formats every measure, one per line.
func (f *figures) list() string {
	var b strings.Builder
	for _, m := range f.Measures {
		fmt.Fprintf(&b, "%-44s %12s", fmt.Sprintf("%s, %s", m.Name, m.Unit), m.cell(connector))
		if m.Ratio > 0 {
			fmt.Fprintf(&b, " %12s %6s", m.cell(bare), ratio(m.Ratio))
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}
