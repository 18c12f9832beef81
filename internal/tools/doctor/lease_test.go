package doctor

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// buckets creates the buckets of a zoomstream that has run.
func (w *world) buckets() (leases, states *kv.Bucket) {
	w.t.Helper()
	leases, err := kv.Open(w.t.Context(), w.js, kv.Options{Name: "zoomstream", Replicas: 1, TTLs: true})
	must(w.t, err)
	states, err = kv.Open(w.t.Context(), w.js, kv.Options{Name: "zoomstream-state", Replicas: 1})
	must(w.t, err)
	return leases, states
}

func (w *world) put(b *kv.Bucket, key string, value any, ttl time.Duration) uint64 {
	w.t.Helper()
	text, err := json.Marshal(value)
	must(w.t, err)
	entry, err := b.Get(w.t.Context(), key)
	must(w.t, err)
	revision, err := b.Put(w.t.Context(), key, text, entry.Revision, ttl)
	must(w.t, err)
	return revision
}

// answer answers for a process, like its replica.
func (w *world) answer(nonce string) {
	w.t.Helper()
	_, err := w.nc.Subscribe("zoomstream.zoomstream.replica."+nonce, func(m *nats.Msg) { m.Respond(nil) })
	must(w.t, err)
	must(w.t, w.nc.Flush())
}

func (w *world) sockets(want int64) {
	w.t.Helper()
	if got := w.sim.Summary(subscription).Sockets; got != want {
		w.t.Errorf("%d connections, want %d", got, want)
	}
}

// TestHeldLease: while the lease is held, doctor neither connects nor touches it, whatever its
// holder does.
func TestHeldLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, states := w.buckets()
	since := time.Now().Add(-time.Hour).UTC()
	w.answer("n1")
	w.put(leases, "lease.sub-1", record.Lease{Replica: "leader-1", Nonce: "n1", Since: since}, time.Minute)
	w.run().has(Lease, Warn, "leader-1", "has not been connected yet")

	w.put(states, "state.sub-1", record.State{State: record.Connected, Replica: "leader-1", Nonce: "n1", Since: since}, 0)
	r := w.run()
	r.fine()
	r.has(Lease, Pass, "replica leader-1 holds the lease", "has been connected since "+clock(since))
	r.has(Connection, Skip, "would close the connection of replica leader-1")
	w.connect(true).has(Connection, Skip, "would close")

	w.put(states, "state.sub-1", record.State{State: record.Connected, Replica: "leader-1", Nonce: "n1", Since: since, Raised: []string{"contested"}}, 0)
	w.run().has(Lease, Warn, "alarms are raised: contested")

	w.put(states, "state.sub-1", record.State{State: record.Disconnected, Replica: "leader-1", Nonce: "n1", Since: since, End: "refused"}, 0)
	w.run().has(Lease, Warn, "disconnected since", "refused")

	w.put(leases, "lease.sub-1", record.Lease{Replica: "leader-2", Nonce: "n2", Since: since}, time.Minute)
	r = w.connect(true)
	r.has(Lease, Warn, "leader-2", "does not answer")
	r.has(Connection, Skip)
	w.sockets(0)
}

// TestStateOfALiveConnection: there is no lease, but by its state a replica that may be cut off is
// connected. doctor connects only with --connect.
func TestStateOfALiveConnection(t *testing.T) {
	t.Parallel()
	for _, state := range []record.ConnState{record.Connected, record.Displaced, record.HandedOver} {
		w := newWorld(t)
		leases, states := w.buckets()
		w.put(states, "state.sub-1", record.State{State: state, Replica: "cut-off", Nonce: "n1", Since: time.Now()}, 0)
		r := w.run()
		r.has(Lease, Warn, "cut-off", string(state))
		r.has(Connection, Warn, "--connect")
		w.sockets(0)
		r = w.connect(true)
		r.has(Heartbeat, Pass)
		w.sockets(1)
		released(t, leases)
	}
}

func TestDisconnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, states := w.buckets()
	w.put(states, "state.sub-1", record.State{State: record.Disconnected, Replica: "gone", Nonce: "n1", Since: time.Now()}, 0)
	r := w.run()
	r.fine()
	r.has(Lease, Pass, "disconnected since", "gone")
	r.has(Heartbeat, Pass)
	released(t, leases)
	w.run().fine() // continues from the marker's revision
	w.sockets(2)
}

// TestNonsense: invalid entries in the buckets.
func TestNonsense(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, states := w.buckets()
	_, err := states.Put(t.Context(), "state.sub-1", []byte("\x1b[2J"), 0, 0)
	must(t, err)
	r := w.run()
	r.has(Lease, Warn, "cannot be read")
	r.has(Connection, Warn)
	_, err = leases.Put(t.Context(), "lease.sub-1", []byte("{"), 0, time.Minute)
	must(t, err)
	w.connect(true).has(Connection, Skip, "replica ?")
	w.sockets(0)
}

func released(t *testing.T, leases *kv.Bucket) {
	t.Helper()
	entry, err := leases.Get(t.Context(), "lease.sub-1")
	must(t, err)
	if entry.Value != nil || !entry.Purged {
		t.Errorf("the lease is %s", entry.Value)
	}
}

// TestLeaseIsHeldWhileConnected watches the lease from outside, while Zoom is slow to become ready.
func TestLeaseIsHeldWhileConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, _ := w.buckets()
	w.sim.Freeze(subscription, 2*time.Second, true)
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var holders []record.Lease
	answered := false
	watching.Go(func() {
		leases.Watch(ctx, "lease.>", func(_ string, e kv.Entry) {
			var record record.Lease
			if e.Value == nil || json.Unmarshal(e.Value, &record) != nil {
				return
			}
			holders = append(holders, record)
			_, err := w.nc.Request("zoomstream.zoomstream.replica."+record.Nonce, nil, time.Second)
			answered = err == nil
		})
	})
	r := w.run()
	r.has(Heartbeat, Pass)
	end()
	watching.Wait()
	if len(holders) != 1 || holders[0].Replica != "doctor-here" || !answered {
		t.Errorf("holders %+v, answered %v", holders, answered)
	}
	released(t, leases)
}

// TestSlowZoom: doctor gives up while it still holds the lease, however short that is.
func TestSlowZoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, _ := w.buckets()
	w.sim.Freeze(subscription, 0, true)
	r := w.run("ZOOMSTREAM_LEASE_TTL=3s")
	r.failed(false)
	r.has(Connection, Fail, "about to expire")
	released(t, leases)
}

// TestLeaseTakenMeanwhile: doctor loses the race against a replica, and does not connect.
func TestLeaseTakenMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, _ := w.buckets()
	revision := w.put(leases, "lease.sub-1", record.Lease{Replica: "faster", Nonce: "n"}, time.Minute)
	p, a := w.probe(t)
	p.try(t.Context(), a, holder{leases: leases, revision: revision - 1})
	report{t, p.report}.has(Connection, Skip, "replica faster has just taken the lease")
	w.sockets(0)
}

// TestBucketMadeMeanwhile: doctor loses the race against the very first replica.
func TestBucketMadeMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, a := w.probe(t)
	w.buckets()
	p.try(t.Context(), a, holder{})
	report{t, p.report}.has(Connection, Fail, "a replica has just started")
	w.sockets(0)
}

// probe returns the check of a subscription just before it connects.
func (w *world) probe(t *testing.T) (*probe, *app) {
	t.Helper()
	e := w.exam()
	a := e.token(t.Context())
	s, leave := e.nats(t.Context())
	t.Cleanup(leave)
	return &probe{exam: e, endpoint: e.cfg.Zoom.Endpoints[0], site: s}, a
}
