package natsconn

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

const confFile = "../../nats.conf"

// runConf starts a server from a configuration file, with a port and a folder of its own.
func runConf(t *testing.T, file string) (*server.Server, *server.Options) {
	t.Helper()
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	asWritten := opts.Clone()
	opts.Port, opts.StoreDir = -1, t.TempDir()
	return runServer(t, opts), asWritten
}

// TestConfHasTheEmbeddedLimits compares two running servers, so that defaults count, too.
func TestConfHasTheEmbeddedLimits(t *testing.T) {
	srv, written := runConf(t, confFile)
	embedded := startEmbedded(t, t.TempDir())
	if addr := fmt.Sprintf("%s:%d", written.Host, written.Port); addr != DefaultAddr {
		t.Errorf("it listens on %s, not on %s", addr, DefaultAddr)
	}
	if filepath.Clean(written.StoreDir) == embeddedOptions(EmbeddedOptions{}, "data").StoreDir {
		t.Error("it uses the embedded server's folder, whose lock it does not know")
	}
	got, wanted := limits(t, srv), limits(t, embedded.Server())
	for name := range wanted {
		if got[name] != wanted[name] {
			t.Errorf("%s: nats.conf %v, embedded %v", name, got[name], wanted[name])
		}
	}
}

func limits(t *testing.T, srv *server.Server) map[string]any {
	t.Helper()
	v, err := srv.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	js := *srv.JetStreamConfig()
	js.StoreDir = ""
	return map[string]any{
		"server_name": v.Name, "max_payload": v.MaxPayload, "max_control_line": v.MaxControlLine, "max_pending": v.MaxPending,
		"max_connections": v.MaxConn, "ping_interval": v.PingInterval, "ping_max": v.MaxPingsOut, "write_deadline": v.WriteDeadline,
		"jetstream": js, "jetstream limits": *v.JetStream.Limits,
	}
}

func TestConfRunsAsItIs(t *testing.T) {
	srv, _ := runConf(t, confFile)
	likeTheConnector(t, connect(t, Options{URL: srv.ClientURL()}))
}

func confUsers(t *testing.T) []*server.User { return natstest.UsersConf(t, confFile, password).Users }

func flush(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// likeTheConnector does everything that zoomstream does: stream, events, look-ups, leases, states,
// liveness.
func likeTheConnector(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js := natstest.JetStream(t, nc)
	for _, created := range []bool{true, false} {
		if _, c, findings, err := EnsureStream(t.Context(), js, wanted()); err != nil || c != created || len(findings) > 0 {
			t.Fatalf("created %v, findings %v, error %v", c, findings, err)
		}
	}
	if owners := holders(t.Context(), js, wanted()); !slices.Equal(owners, []string{"ZOOM"}) {
		t.Errorf("the owner of the subjects cannot be found: %q", owners)
	}
	for range filling {
		_, err := js.Publish(t.Context(), "zoom.meeting.started", make([]byte, 64<<10), jetstream.WithExpectStream("ZOOM"))
		must(t, err)
	}
	stream, err := js.Stream(t.Context(), "ZOOM")
	must(t, err)
	_, err = stream.GetMsg(t.Context(), 1)
	must(t, err)
	_, err = stream.GetLastMsgForSubject(t.Context(), "zoom.meeting.started")
	must(t, err)
	request(t, nc, "$JS.API.STREAM.MSG.GET.ZOOM", `{"seq":1}`)

	useBucket(t, nc, js, "zoomstream")
	useBucket(t, nc, js, "zoomstream-state")

	for _, subject := range []string{"zoomstream.alive.a", "$SRV.PING.zoomstream"} {
		_, err = nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("yes")) })
		must(t, err)
	}
	request(t, nc, "zoomstream.alive.a", "")
}

// filling is more messages of 64 KiB than a push consumer gets without the right to answer flow
// control.
const filling = 60

// useBucket creates a key with a TTL, renews it, reads it from the leader and from any replica,
// watches it and releases it.
func useBucket(t *testing.T, nc *nats.Conn, js jetstream.JetStream, bucket string) {
	t.Helper()
	ctx := t.Context()
	_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, LimitMarkerTTL: time.Second})
	must(t, err)
	kv, err := js.KeyValue(ctx, bucket)
	must(t, err)
	revision, err := kv.Create(ctx, "lease.s", []byte("a"), jetstream.KeyTTL(15*time.Second))
	must(t, err)
	subject := "$KV." + bucket + ".lease.s"
	_, err = js.PublishMsg(ctx, nats.NewMsg(subject), jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithMsgTTL(15*time.Second))
	must(t, err)
	request(t, nc, "$JS.API.STREAM.MSG.GET.KV_"+bucket, `{"last_by_subj":"`+subject+`"}`)
	_, err = kv.Get(ctx, "lease.s")
	must(t, err)
	must(t, kv.Purge(ctx, "lease.s"))

	for i := range filling {
		_, err := kv.Put(ctx, fmt.Sprint("key", i), make([]byte, 64<<10))
		must(t, err)
	}
	watch, err := kv.WatchAll(ctx)
	must(t, err)
	defer func() { must(t, watch.Stop()) }()
	limit := time.After(10 * time.Second)
	for seen := 0; ; seen++ {
		select {
		case entry := <-watch.Updates():
			if entry != nil {
				continue
			}
			if seen != filling+1 { // and the released key's marker
				t.Errorf("the watcher saw %d keys", seen)
			}
			return
		case <-limit:
			t.Fatalf("the watcher stalls after %d keys", seen)
		}
	}
}

// likeAReader does what all kinds of consumers of the events do.
func likeAReader(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js := natstest.JetStream(t, nc)
	_, err := nc.SubscribeSync("zoom.>")
	must(t, err)
	stream, err := js.Stream(t.Context(), "ZOOM")
	must(t, err)
	_, err = stream.GetLastMsgForSubject(t.Context(), "zoom.meeting.started")
	must(t, err)

	pull, err := stream.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "billing"})
	must(t, err)
	msg, err := pull.Next(jetstream.FetchMaxWait(5 * time.Second))
	must(t, err)
	must(t, msg.DoubleAck(t.Context()))
	_, err = pull.Info(t.Context())
	must(t, err)
	must(t, stream.DeleteConsumer(t.Context(), "billing"))

	push, err := stream.CreatePushConsumer(t.Context(), jetstream.ConsumerConfig{Name: "push", AckPolicy: jetstream.AckNonePolicy,
		DeliverSubject: nc.NewInbox(), FlowControl: true, IdleHeartbeat: time.Second})
	must(t, err)
	all := make(chan struct{}, filling)
	consuming, err := push.Consume(func(jetstream.Msg) { all <- struct{}{} })
	must(t, err)
	defer consuming.Stop()
	for range filling {
		select {
		case <-all:
		case <-time.After(5 * time.Second):
			t.Fatal("the push consumer stalls")
		}
	}
}

func request(t *testing.T, nc *nats.Conn, subject, body string) {
	t.Helper()
	_, err := nc.Request(subject, []byte(body), 5*time.Second)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
