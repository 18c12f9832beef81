package bridge

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestSafeUntilWhileRenewed: during a renewal, frames that lie unread on either connection are not
// safe.
func TestSafeUntilWhileRenewed(t *testing.T) {
	sim := zoomsim.New(zoomsim.Options{ClientID: "client", ClientSecret: "secret"})
	server := pipenet.Serve(sim.Handler())
	defer server.Close()
	defer sim.Close()
	dialer := zoom.NewDialer(zoom.Config{Endpoint: "ws://zoom/ws?subscriptionId=sub", HTTP: server.Client(), Heartbeat: time.Minute, Log: zerolog.Nop(),
		Tokens: zoom.NewTokenSource(zoom.TokenConfig{ClientID: "client", ClientSecret: "secret", URL: "http://zoom/oauth/token", HTTP: server.Client(), Log: zerolog.Nop()})})
	unread, err := dialer.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	b := newBridge(t)
	if b.SafeUntil().Before(from) {
		t.Error("nothing is unread")
	}
	b.session.Store(unread)
	if b.SafeUntil().After(from) {
		t.Error("what lies unread on the new connection counts as safe")
	}
	b.session.Store(nil)
	b.replaced.Store(unread)
	if b.SafeUntil().After(from) {
		t.Error("what lies unread on the connection that is replaced counts as safe")
	}
}
