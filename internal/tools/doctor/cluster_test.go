package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestCluster runs doctor at one server of a cluster and listens at another: tests of rights work
// across servers, and deliver nothing at the other one either.
func TestCluster(t *testing.T) {
	t.Parallel()
	const size = 3
	var routes []*url.URL
	var ports []int
	for range size {
		port := natstest.Port(t)
		ports = append(ports, port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	part := func(n int) func(*server.Options) {
		return func(o *server.Options) {
			o.ServerName = fmt.Sprint("n", n)
			o.Tags = []string{o.ServerName}
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[n]}
			o.Routes = routes
		}
	}
	var last *server.Server
	for n := 1; n < size; n++ {
		options := confWithUsers(t)
		options.Users = append(options.Users, &server.User{Username: "all", Password: "all"})
		part(n)(options)
		last = natstest.Start(t, options)
	}
	w := newWorld(t, part(0))
	var streams error
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, streams = w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}, Replicas: size}); streams == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(streams)
		}
	}

	far := ""
	for _, s := range w.nc.DiscoveredServers() {
		far = s
	}
	nc, err := nats.Connect(far, nats.UserInfo("all", "all"), nats.DontRandomize())
	must(t, err)
	defer nc.Close()
	if nc.ConnectedServerName() == w.nc.ConnectedServerName() {
		t.Fatalf("%s is the same server", far)
	}
	all, err := nc.SubscribeSync(">")
	must(t, err)
	must(t, nc.Flush())
	time.Sleep(time.Second) // until the other servers know of the subscription

	r := w.run("ZOOMSTREAM_STREAM_REPLICAS=3")
	r.fine()
	r.has(Permissions, Pass)
	must(t, nc.Flush())
	traces := 0
	for {
		msg, err := all.NextMsg(500 * time.Millisecond)
		if err != nil {
			break
		}
		switch {
		case strings.HasPrefix(msg.Subject, "zoomstream.zoomstream.doctor."):
			traces++
		case strings.HasPrefix(msg.Subject, "zoom."), strings.HasPrefix(msg.Subject, "$KV."), strings.Contains(msg.Subject, ".CREATE."), strings.Contains(msg.Subject, ".DELETE."):
			t.Errorf("%s is heard at another server", msg.Subject)
		}
	}
	if traces == 0 {
		t.Error("the listener is deaf")
	}
	names := w.js.StreamNames(t.Context())
	for name := range names.Name() {
		if name != "OTHER" {
			t.Errorf("stream %s was created", name)
		}
	}

	// A bucket whose only server is gone has no leader.
	_, err = w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "zoomstream-state", Placement: &jetstream.Placement{Tags: []string{"n2"}}})
	must(t, err)
	natstest.Stop(last)
	for deadline := time.Now().Add(30 * time.Second); ; { // the remaining servers may have to elect a leader first
		r = w.run()
		if slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Check == StateBucket }) || time.Now().After(deadline) {
			break
		}
	}
	r.failed(false)
	r.has(StateBucket, Fail, "bucket zoomstream-state has no leader", "events are withheld", "nats server report jetstream")
}
