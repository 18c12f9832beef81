package forward

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestRights: with the rights of the user forwarder in nats.conf, forward delivers, gives up and
// sends again. Everything else is denied.
func TestRights(t *testing.T) {
	options := natstest.UsersConf(t, "../../../nats.conf", "secret")
	url := natstest.Start(t, options).ClientURL()

	w := &world{t: t, url: url, endpoint: newEndpoint(t)}
	connector, err := nats.Connect(url, nats.UserInfo("zoomstream", "secret"))
	must(t, err)
	t.Cleanup(connector.Close)
	w.js, err = jetstream.New(connector)
	must(t, err)
	_, err = w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	must(t, err)
	w.endpoint.setFails(func(n int) string {
		if n == 0 {
			return "422"
		}
		return ""
	})
	w.store("meeting.started", 0, 8)
	w.store("meeting.ended", 1, 8)
	w.stored()

	var denied atomic.Value
	denied.Store("")
	nc, err := nats.Connect(url, nats.UserInfo("forwarder", "secret"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied.Store(err.Error()) }))
	must(t, err)
	t.Cleanup(nc.Close)
	i := &instance{nc: nc, ended: make(chan error, 1)}
	for _, parallel := range []int{1, 3} { // the second one also changes the consumer
		ctx, cancel := context.WithCancel(t.Context())
		i.stop = cancel
		go func() { i.ended <- Run(ctx, natstest.JetStream(t, nc), w.options(parallel)) }()
		w.until("delivered", func() bool { return w.endpoint.count() >= 1 && strings.Contains(w.log.String(), `"forward.dead"`) })
		if parallel > 1 {
			w.store("meeting.ended", 2, 8)
			w.until("delivered", func() bool { return w.endpoint.count() == 2 })
		}
		w.end(i)
	}
	w.endpoint.setFails(func(int) string { return "" })
	if sent, err := ResendDead(t.Context(), natstest.JetStream(t, nc), w.options(1)); err != nil || sent != (Resent{Delivered: 1, Left: 0}) {
		t.Errorf("%+v, %v", sent, err)
	}
	must(t, nc.FlushTimeout(5*time.Second))
	if text := denied.Load(); text != "" || strings.Contains(w.log.String(), `"forward.pinned"`) {
		t.Errorf("a right is missing: %s", text)
	}
	for _, subject := range []string{"zoom.forged", "$KV.zoomstream.lease.s", "$JS.API.STREAM.DELETE.ZOOM", "$JS.API.STREAM.DELETE.ZOOM_DEAD", "$JS.API.STREAM.UPDATE.ZOOM_DEAD", "$JS.API.CONSUMER.DELETE.ZOOM.other"} {
		must(t, nc.Publish(subject, nil))
		w.until(subject+" denied", func() bool { return strings.Contains(denied.Load().(string), `"`+subject+`"`) })
	}
}
