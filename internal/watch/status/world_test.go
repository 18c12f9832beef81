package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

const bucket = "zoomstream"

// world is a nats-server with made-up replicas, of which only the service is real.
type world struct {
	t   *testing.T
	srv *server.Server
	js  jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, srv: natstest.Run(t, t.TempDir(), -1)}
	js, err := jetstream.New(w.connect())
	must(t, err)
	w.js = js
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) connect(options ...nats.Option) *nats.Conn {
	w.t.Helper()
	nc, err := nats.Connect(w.srv.ClientURL(), options...)
	must(w.t, err)
	w.t.Cleanup(nc.Close)
	return nc
}

// buckets creates the buckets of leases and states.
func (w *world) buckets() {
	w.t.Helper()
	for _, config := range []jetstream.KeyValueConfig{
		{Bucket: bucket, LimitMarkerTTL: time.Second}, {Bucket: bucket + "-state"},
	} {
		_, err := w.js.CreateKeyValue(w.t.Context(), config)
		must(w.t, err)
	}
}

// put writes an entry like the connector, and returns its revision.
func (w *world) put(bucket, key string, value any) uint64 {
	w.t.Helper()
	text, err := json.Marshal(value)
	must(w.t, err)
	ack, err := w.js.Publish(w.t.Context(), "$KV."+bucket+"."+key, text)
	must(w.t, err)
	return ack.Sequence
}

func (w *world) lease(subscription, replica string, epoch uint64) uint64 {
	return w.put(bucket, "lease."+subscription, map[string]any{
		"replica": replica, "nonce": nonce(replica), "host": "host-" + replica, "pid": 4711, "since": time.Now().Add(-time.Hour), "epoch": epoch,
	})
}

func (w *world) state(subscription, replica, state string, lastFrame time.Time) {
	w.put(bucket+"-state", "state."+subscription, map[string]any{
		"state": state, "replica": replica, "nonce": nonce(replica), "epoch": 1, "since": lastFrame.Add(-time.Minute), "end": "cut", "cause": "disconnected",
		"last_frame": lastFrame, "last_event": lastFrame.Add(-time.Second),
		"last_gap": map[string]any{"subscription": subscription, "id": "gap:" + subscription + ":1", "replica": replica, "previous_replica": replica, "from": lastFrame.Add(-2 * time.Hour), "to": lastFrame.Add(-2 * time.Hour).Add(1500 * time.Millisecond), "duration_ms": 1500, "cause": "kicked", "certain": true},
	})
}

// serve has a replica answer until stop.
func (w *world) serve(nc *nats.Conn, r *Replica) (stop func()) {
	w.t.Helper()
	stop, err := Serve(nc, options(w.t, r))
	must(w.t, err)
	must(w.t, nc.Flush())
	w.t.Cleanup(stop)
	return stop
}

func options(t *testing.T, r *Replica) ServiceOptions {
	return ServiceOptions{
		Bucket: bucket, Replica: r.Replica, Nonce: r.Nonce, Version: r.Version,
		Status: func(history bool) *Replica { return answer(r, history) },
		Seen: func(ids []string) (all []Seen) {
			for _, id := range ids {
				all = append(all, Seen{ID: id, Times: 2, Where: "local", First: r.Started, Last: r.Now})
			}
			return all
		},
		ErrorHandler: func(err error) { t.Errorf("service of %s: %v", r.Replica, err) },
	}
}

func answer(r *Replica, history bool) *Replica {
	now := *r
	now.Now = time.Now()
	now.Subscriptions = nil
	for _, s := range r.Subscriptions {
		if !history {
			s.History = nil
		}
		now.Subscriptions = append(now.Subscriptions, s)
	}
	return &now
}

func nonce(replica string) string { return "nonce-" + replica }

// made makes up a replica.
func made(name string, subscriptions ...Subscription) *Replica {
	return &Replica{
		Replica: name, Nonce: nonce(name), Host: "host-" + name, PID: 4711, Version: "v1.2.3", Started: time.Now().Add(-2 * time.Hour),
		Now: time.Now(), Phase: Ready, Subscriptions: subscriptions, Outbox: Outbox{NATS: true, Stream: "ZOOM", Direct: true},
	}
}

func leads(subscription, replica string, epoch uint64) Subscription {
	return Subscription{
		Subscription: subscription, Role: Leader, Leader: replica, LeaderNonce: nonce(replica), Epoch: epoch, Since: time.Now().Add(-time.Hour),
		State: "connected", StateSince: time.Now().Add(-time.Hour), Events: 10, Published: 10, Rate: 1.5,
	}
}

func standsBy(subscription, leader string, epoch uint64) Subscription {
	return Subscription{Subscription: subscription, Role: Standby, Leader: leader, LeaderNonce: nonce(leader), Epoch: epoch, Since: time.Now().Add(-time.Hour)}
}

// hears has a replica hear others.
func hears(r *Replica, others ...string) *Replica {
	for _, other := range others {
		r.Others = append(r.Others, Other{Replica: other, Nonce: nonce(other), Heard: time.Now().Add(time.Minute)}) // again and again
	}
	return r
}

func (w *world) ask(nc *nats.Conn, o AskOptions) (*Overview, time.Duration) {
	w.t.Helper()
	o.Bucket = bucket
	started := time.Now()
	overview, err := Ask(w.t.Context(), natstest.JetStream(w.t, nc), o)
	must(w.t, err)
	return overview, time.Since(started)
}

// lines returns a short form of an overview: one text for each subscription and replica.
func lines(o *Overview) (all []string) {
	for _, l := range o.Subscriptions {
		all = append(all, fmt.Sprintf("%s: leader %q epoch %d state %q answered %v from %q standbys %v",
			l.Subscription.Subscription, l.Leader, l.Epoch, l.State, l.Answered, l.From, l.Standbys))
	}
	for _, m := range o.Replicas {
		all = append(all, fmt.Sprintf("replica %s: answered %v heard %v leads %d stands by %d", m.Replica, m.Answered, !m.Heard.IsZero(), m.Leads, m.StandsBy))
	}
	return all
}

// errorsOf collects the errors that a connection's error handler gets.
type errorsOf struct {
	mu  sync.Mutex
	all []error
}

func (e *errorsOf) handle(_ *nats.Conn, _ *nats.Subscription, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, err)
}

func (e *errorsOf) are(target error) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, err := range e.all {
		if errors.Is(err, target) {
			n++
		}
	}
	return n
}

// logged collects the lines of a log.
type logged struct {
	mu  sync.Mutex
	all []string
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
	return len(line), nil
}

func (l *logged) with(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
