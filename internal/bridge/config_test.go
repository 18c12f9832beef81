package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/metrics"
)

// testConfig returns the Config of a term whose lease lasts and that has no peers.
func testConfig(t testing.TB, nc *nats.Conn, log zerolog.Logger) Config {
	stream := Stream{Name: "ZOOM", Prefix: "zoom"}
	var js jetstream.JetStream // nil for a bridge that publishes nothing
	if nc != nil {
		js = newJetStream(t, nc)
	}
	return Config{
		Subscription: "sub",
		Term:         Term{Epoch: 7, Replica: "replica-1", Nonce: "nonce-1", Lease: heldLease{}},
		Peers:        testPeers{},
		Stream:       stream,
		Outbox:       outbox.New(js, outbox.Options{Stream: stream.Name}),
		Quarantine:   testQuarantine(nc, stream),
		SecretToken:  func() string { return "" },
		Repeated:     func(string, string) {},
		Alarms:       Alarms{Board: alarm.NewBoard("replica-1", nil, nil, log)},
		Metrics:      metrics.New("", "", []string{"sub"}).Subscription("sub"),
		Clock:        func(t time.Time) time.Time { return t },
		Log:          log,
	}
}

func testQuarantine(nc *nats.Conn, stream Stream) *Quarantine {
	return NewQuarantine(nc, stream, func() []string { return nil }, func(string) {}, zerolog.Nop())
}

func newJetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// testPeers are other replicas. None of them stands by.
type testPeers struct {
	answer    func(nonce string) ([]byte, error) // nil: no answer
	safeUntil time.Time
}

func (p testPeers) Standbys(string) int { return 0 }

func (p testPeers) Ask(_ context.Context, nonce, _ string) ([]byte, error) {
	if p.answer == nil {
		return nil, nats.ErrNoResponders
	}
	return p.answer(nonce)
}

func (p testPeers) SafeUntil(string) time.Time { return p.safeUntil }

// heldLease never ends.
type heldLease struct{}

func (heldLease) WaitTrusted(context.Context) error { return nil }
func (heldLease) Prove(context.Context) error       { return nil }
func (heldLease) TakenOver() bool                   { return false }
func (heldLease) SetConnected(bool)                 {}
