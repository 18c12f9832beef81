package doctor

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// serve answers like a replica of the given bucket.
func (w *world) serve(bucket string, r status.Replica) (stop func()) {
	w.t.Helper()
	stop, err := status.Serve(w.nc, status.ServiceOptions{
		Bucket: bucket, Replica: r.Replica, Nonce: r.Nonce,
		Status: func(bool) *status.Replica { r.Now = time.Now(); return &r },
		Seen:   func([]string) []status.Seen { return nil },
	})
	must(w.t, err)
	must(w.t, w.nc.Flush())
	w.t.Cleanup(stop)
	return stop
}

// TestTraces: without the bucket of the leases, each single trace of a zoomstream keeps doctor from
// connecting.
func TestTraces(t *testing.T) {
	t.Parallel()
	anybody := []string{"NATS_USER=all", "NATS_PASSWORD=all"}
	for _, c := range []struct {
		name  string
		trace func(w *world)
		as    []string
		words string
	}{
		{"stream", func(w *world) {
			_, err := w.js.CreateStream(w.t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
			must(w.t, err)
		}, nil, "no bucket zoomstream, but stream ZOOM is there"},
		{"states", func(w *world) {
			_, err := kv.Open(w.t.Context(), w.js, kv.Options{Name: "zoomstream-state", Replicas: 1})
			must(w.t, err)
		}, nil, "bucket zoomstream-state is there"},
		{"another bucket", func(w *world) { w.buckets() }, append(anybody, "ZOOMSTREAM_BUCKET=zoomstraem"), "no bucket zoomstraem, but buckets zoomstream and zoomstream-state are there"},
		{"service", func(w *world) { w.serve("theirs", status.Replica{Replica: "r7", Nonce: "n"}) }, anybody, "replica r7 with bucket theirs answers"},
		{"announcement", func(w *world) { w.announce("theirs", "r8") }, nil, "replica r8 with bucket theirs answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.trace(w)
			r := w.run(c.as...)
			r.has(Lease, Warn, c.words, "ZOOMSTREAM_BUCKET")
			r.has(Connection, Warn, "not tried", "--connect")
			w.sockets(0)
			if r.Result != Warn {
				t.Errorf("result %s", r.Result)
			}
			r = w.connect(true, c.as...)
			r.has(Connection, Pass, "tried because of --connect")
			r.has(Heartbeat, Pass)
		})
	}
}

// announce announces a replica every second.
func (w *world) announce(bucket, replica string) {
	nc, err := nats.Connect(w.nats.ClientURL(), nats.UserInfo("all", "all"))
	must(w.t, err)
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(time.Second):
				nc.Publish("zoomstream."+bucket+".presence", []byte(`{"replica":"`+replica+`","nonce":"n"}`))
			case <-end:
				return
			}
		}
	}()
	w.t.Cleanup(func() { close(end); <-done; nc.Close() })
}

// TestNoTraces: doctor connects if there is no trace of a zoomstream, with and without the right to
// ping.
func TestNoTraces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "others"})
	must(t, err)
	for _, as := range [][]string{nil, {"NATS_USER=all", "NATS_PASSWORD=all"}} {
		r := w.run(as...)
		r.fine()
		r.has(Lease, Pass, "no bucket zoomstream", "this NATS knows of no zoomstream")
		r.has(Connection, Pass, "tried because this NATS knows of no zoomstream")
	}
	w.sockets(2)
}

// TestDeaf: a user who may neither ping nor hear replicas cannot tell who is connected.
func TestDeaf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *server.Options) {
		connector(o).Permissions.Subscribe.Deny = []string{"zoomstream.*.presence"}
	})
	r := w.run()
	r.has(Lease, Warn, "not known whether replicas use another one")
	r.has(Connection, Warn, "--connect")
	w.sockets(0)
}
