package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// fleet is a simulated Zoom, and replicas that share one NATS. Each replica is a process.
type fleet struct {
	t             *testing.T
	sim           *zoomsim.Sim
	settings      []string
	js            jetstream.JetStream
	subscriptions []string
	program       string // program of the replicas that start from now on
	late          int64  // by how many positions an event may be stored behind later ones, since NATS may drop single events

	alive   []*member
	started int // number of replicas started so far
	all     []*member

	traffic sync.WaitGroup
	flowing context.Context
	dry     context.CancelFunc
}

// member is one replica of a fleet.
type member struct {
	*program
	name string
}

// newFleet makes a fleet for a NATS. If natsURL is empty, the NATS is set later.
func newFleet(t *testing.T, natsURL string, subscriptions ...string) *fleet {
	t.Helper()
	sim, settings := startZoom(t)
	f := &fleet{t: t, sim: sim, subscriptions: subscriptions, program: os.Args[0]}
	var endpoints []string
	for _, s := range settings {
		if one, ok := strings.CutPrefix(s, "ZOOM_WEBSOCKET_URL="); ok {
			for _, subscription := range subscriptions {
				endpoints = append(endpoints, strings.Replace(one, testSubscription, subscription, 1))
			}
		}
	}
	f.settings = append(settings, "ZOOM_WEBSOCKET_URL="+strings.Join(endpoints, ","), "ZOOMSTREAM_LOG_LEVEL=debug",
		"GORACE=atexit_sleep_ms=0") // otherwise a process under the race detector ends a second late
	if natsURL != "" {
		f.js = jetStream(t, natsURL)
		f.settings = append(f.settings, "NATS_URL="+natsURL)
	}
	f.flowing, f.dry = context.WithCancel(t.Context())
	t.Cleanup(f.traffic.Wait)
	t.Cleanup(f.explain)
	return f
}

// explain shows the replicas' logs if the test has failed.
func (f *fleet) explain() {
	if !f.t.Failed() || os.Getenv("ZS_TEST_LOGS") == "" {
		return
	}
	for _, m := range f.all {
		f.t.Logf("%s:\n%s", m.name, &m.stderr)
	}
}

func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// launch starts a replica and does not wait for it.
func (f *fleet) launch() *member {
	f.t.Helper()
	f.started++
	name := fmt.Sprintf("r%d", f.started)
	m := &member{startBy(f.t, []string{f.program}, append(f.settings, "ZOOMSTREAM_REPLICA="+name), "run"), name}
	f.alive, f.all = append(f.alive, m), append(f.all, m)
	return m
}

// add starts a replica. It waits until the replica and the others know of each other or, if there
// are no others, until it is connected.
func (f *fleet) add() *member {
	f.t.Helper()
	others := slices.Clone(f.alive)
	m := f.launch()
	if len(others) == 0 {
		f.live()
	}
	for _, other := range others {
		other.says(&other.stderr, `"other":"`+m.name+`"`)
		m.says(&m.stderr, `"other":"`+other.name+`"`)
	}
	return m
}

// flow has Zoom send events until finish, at a rate per second that all subscriptions share.
func (f *fleet) flow(rate float64) {
	for _, subscription := range f.subscriptions {
		f.traffic.Go(func() {
			f.sim.Traffic(f.flowing, zoomsim.Traffic{Subscription: subscription, Rate: rate / float64(len(f.subscriptions))}) //nolint:errcheck // it ends with the context
		})
	}
}

// until waits until the simulator's summary of all subscriptions fulfils a condition.
func (f *fleet) until(what string, holds func(zoomsim.Summary) bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	if err := f.sim.Wait(ctx, "", holds); err != nil {
		f.t.Fatalf("%s: %v: %+v", what, err, f.sim.Summary(""))
	}
}

// live waits until every subscription has a socket.
func (f *fleet) live() {
	f.t.Helper()
	f.until("not all subscriptions are connected", func(sum zoomsim.Summary) bool { return sum.Live == int64(len(f.subscriptions)) })
}

// sockets waits until at least so many sockets have been ready in all, and every subscription has a
// live one.
func (f *fleet) sockets(n int64) {
	f.t.Helper()
	f.until(fmt.Sprintf("not %d sockets", n), func(sum zoomsim.Summary) bool {
		return sum.Ready >= n && sum.Live == int64(len(f.subscriptions))
	})
}

// flows waits until Zoom has written so many more events to sockets.
func (f *fleet) flows(n int64) {
	f.t.Helper()
	n += f.sim.Summary("").Written
	f.until("no events flow", func(sum zoomsim.Summary) bool { return sum.Written >= n })
}

// leases returns the process ids of the leases' holders, by subscription.
func (f *fleet) leases() map[string]int {
	f.t.Helper()
	kv, err := f.js.KeyValue(f.t.Context(), "zoomstream")
	if err != nil {
		f.t.Fatal(err)
	}
	watcher, err := kv.Watch(f.t.Context(), "lease.*", jetstream.IgnoreDeletes())
	if err != nil {
		f.t.Fatal(err)
	}
	defer watcher.Stop() //nolint:errcheck // only its end
	pids := make(map[string]int)
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil {
				return pids
			}
			var r record.Lease
			if err := json.Unmarshal(entry.Value(), &r); err != nil {
				f.t.Fatal(err)
			}
			pids[strings.TrimPrefix(entry.Key(), "lease.")] = r.PID
		case <-time.After(10 * time.Second):
			f.t.Fatal("the leases cannot be read")
		}
	}
}

// leader waits until a live replica leads the first subscription, and returns it.
func (f *fleet) leader() *member {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pid := f.leases()[f.subscriptions[0]]
		for _, m := range f.alive {
			if m.cmd.Process.Pid == pid {
				return m
			}
		}
	}
	f.t.Fatal("no living replica leads")
	return nil
}

func (f *fleet) gone(m *member) {
	f.alive = slices.DeleteFunc(f.alive, func(other *member) bool { return other == m })
}

func (f *fleet) kill(m *member) {
	f.t.Helper()
	m.signal(syscall.SIGKILL)
	<-m.exited
	f.gone(m)
}

// stop ends a replica by SIGTERM, and returns how long that took.
func (f *fleet) stop(m *member) (took time.Duration) {
	f.t.Helper()
	began := time.Now()
	m.signal(syscall.SIGTERM)
	m.exit(exitOK)
	f.gone(m)
	return time.Since(began)
}

// finish ends the traffic, waits until Zoom has written it, and stops all replicas.
func (f *fleet) finish() {
	f.t.Helper()
	f.dry()
	f.traffic.Wait()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	if err := f.sim.Drain(ctx, ""); err != nil {
		f.t.Fatal(err)
	}
	for _, m := range f.alive {
		m.signal(syscall.SIGTERM)
	}
	for _, m := range f.alive {
		m.exit(exitOK)
	}
	for _, m := range f.all {
		if text := m.stderr.String(); strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
			f.t.Errorf("a secret is in the log of %s", m.name)
		}
	}
}

// repeats returns how often a test repeats its steps: n times, or a quarter of that with -short.
func repeats(n int) int {
	if testing.Short() {
		return max(1, n/4)
	}
	return n
}
