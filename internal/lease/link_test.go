package lease

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// stuckDialer connects to one server, and never to another one.
type stuckDialer struct {
	good    string
	stuck   func() // is called when it dials the other one
	release chan struct{}
}

func (d *stuckDialer) Dial(network, address string) (net.Conn, error) {
	if address == d.good {
		return net.Dial(network, address)
	}
	d.stuck()
	<-d.release
	return nil, errors.New("released")
}

// TestDialIsGivenUpWhileNATSIsDialled: the connection to NATS is lost, and the next server does
// not answer. Until it gives up on that, the NATS client answers no question. On real time, since
// the client holds a lock meanwhile.
func TestDialIsGivenUpWhileNATSIsDialled(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir()})
	stuck := make(chan struct{})
	d := &stuckDialer{good: s.Addr().String(), stuck: sync.OnceFunc(func() { close(stuck) }), release: make(chan struct{})}
	nc, err := nats.Connect(s.ClientURL()+",nats://127.0.0.1:1", nats.SetCustomDialer(d), nats.DontRandomize(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := kv.Open(t.Context(), js, kv.Options{Name: "leases", TTLs: true})
	if err != nil {
		t.Fatal(err)
	}
	c := New(nc, bucket, Options{Bucket: "leases", TTL: time.Minute, Replica: "a", Subscriptions: []string{sub}})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); close(d.release); running.Wait() })
	running.Go(func() { c.Run(ctx) }) //nolint:errcheck // it ends with the context
	terms := make(chan *Term, 1)
	running.Go(func() {
		c.Campaign(ctx, sub, func(ctx context.Context, term *Term) error { //nolint:errcheck // the same
			terms <- term
			<-ctx.Done()
			return nil
		})
	})
	permitted, done, err := (<-terms).Permit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	natstest.Stop(s)
	<-stuck
	select {
	case <-permitted.Done():
	case <-time.After(30 * time.Second):
		t.Error("it is not given up")
	}
	if !errors.Is(context.Cause(permitted), ErrUntrusted) {
		t.Error(context.Cause(permitted))
	}
	done()
}
