package doctor

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run()
	r.fine()
	r.has(Configuration, Pass, "1 subscription")
	r.has(Token, Pass, "account_credentials", "1h0m0s", "https://api.zoom.us")
	r.has(Scopes, Pass, webSocketScope)
	r.has(Clock, Pass)
	r.has(Server, Pass, "version 2.", "8.0 MiB")
	r.has(Stream, Pass, "does not exist yet")
	r.has(LeaseBucket, Pass, "does not exist yet")
	r.has(StateBucket, Pass, "does not exist yet")
	r.has(Lease, Pass, "nobody holds it")
	r.has(Connection, Pass, "ready")
	r.has(Heartbeat, Pass, "answered")
	sum := w.sim.Summary(subscription)
	if err := w.sim.Wait(t.Context(), subscription, func(s zoomsim.Summary) bool { return s.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if sum.Sockets != 1 || sum.Heartbeats != 1 || w.sim.Summary(subscription).Retired[zoomsim.CauseClient] != 1 {
		t.Errorf("it was connected %+v", w.sim.Summary(subscription))
	}
}

func TestGeneralApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("ZOOM_ACCOUNT_ID=")
	r.fine()
	r.has(Token, Pass, "client_credentials")
}

func TestTokenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	for _, c := range []struct{ setting, problem, fix string }{
		{"ZOOM_CLIENT_SECRET=wrong-must-not-leak", "invalid_client", "ZOOM_CLIENT_SECRET"},
		{"ZOOM_ACCOUNT_ID=wrong-must-not-leak", "invalid_request", "ZOOM_ACCOUNT_ID"},
	} {
		r := w.run(c.setting)
		r.failed(true)
		r.has(Token, Fail, c.problem, c.fix, "grant account_credentials")
		r.has(Clock, Pass)
		r.has(Lease, Pass) // what concerns NATS is still checked
		r.has(Connection, Skip, "needs a token")
	}
	must(t, w.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenUnsupportedGrant}, zoomsim.Span{}))
	r := w.run("ZOOM_ACCOUNT_ID=")
	r.failed(true)
	r.has(Token, Fail, "unsupported_grant_type", "set ZOOM_ACCOUNT_ID")
	if n := w.sim.Summary(subscription).Sockets; n != 0 {
		t.Errorf("%d connections without a token", n)
	}
}

func TestTokenEndpointInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	for mode, problem := range map[zoomsim.TokenMode]string{
		zoomsim.TokenHTTP500: "HTTP 500", zoomsim.TokenHTML: "HTTP 502", zoomsim.TokenTooMany: "rate_limited",
	} {
		must(t, w.sim.FailTokens(zoomsim.TokenFault{Mode: mode}, zoomsim.Span{Count: 1}))
		r := w.run()
		r.failed(false)
		r.has(Token, Fail, problem)
	}
	must(t, w.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenNoExpires}, zoomsim.Span{Count: 1}))
	r := w.run()
	r.has(Token, Warn, "does not say for how long")
	r.has(Heartbeat, Pass)
	r = w.run("ZOOM_OAUTH_URL=http://127.0.0.1:1/oauth/token")
	r.failed(false)
	r.has(Token, Fail, "connection refused", "ZOOM_OAUTH_URL")
	r.has(Clock, Skip)
}

// TestClock: Zoom's clock differs from this machine's.
func TestClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	var off time.Duration
	skewed := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", time.Now().Add(-off).UTC().Format(http.TimeFormat))
		w.sim.Handler().ServeHTTP(rw, r)
	}))
	defer skewed.Close()
	for _, c := range []struct {
		off    time.Duration
		result Result
		text   string
	}{
		{0, Pass, "agrees"}, {1400 * time.Millisecond, Pass, "agrees"},
		{10 * time.Second, Warn, "ahead of"}, {-10 * time.Second, Warn, "behind"},
		{time.Hour, Fail, "ahead of"}, {-time.Hour, Fail, "behind"},
	} {
		off = c.off
		r := w.run("ZOOM_OAUTH_URL=" + skewed.URL + "/oauth/token")
		r.has(Clock, c.result, c.text)
		if c.result == Fail {
			r.failed(false)
		}
	}
}

// TestConnectionRefused: Zoom refuses the connection, although the token is good.
func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	for _, mode := range []zoomsim.RefuseMode{zoomsim.RefuseOld, zoomsim.RefuseNew} {
		must(t, w.sim.Refuse(subscription, zoomsim.Refusal{Mode: mode}, zoomsim.Span{}))
		r := w.run()
		r.failed(false)
		r.has(Connection, Fail, "refused", "Marketplace")
	}
	must(t, w.sim.Refuse(subscription, zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503}, zoomsim.Span{}))
	r := w.run()
	r.failed(false)
	r.has(Connection, Fail, "HTTP 503", "WebSockets")
}

// TestNoHeartbeat: Zoom hears nothing after the upgrade.
func TestNoHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	r := w.run("ZOOMSTREAM_HEARTBEAT=1s", w.behind(time.Hour))
	r.failed(false)
	r.has(Connection, Pass)
	r.has(Heartbeat, Fail, "no frame within two heartbeat periods")

	r = w.run("ZOOMSTREAM_HEARTBEAT=1m", w.behind(time.Hour))
	r.failed(false)
	r.has(Heartbeat, Fail, "did not answer")
}

// TestEventsMeanwhile: events that arrive during the check are lost, and counted.
func TestEventsMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	var emitting sync.WaitGroup
	emitting.Go(func() {
		if w.sim.WaitReady(t.Context(), subscription) == nil {
			w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"})
			w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.ended"})
			w.sim.SendRaw(subscription, []byte("no event"), false)
		}
	})
	r := w.run(w.behind(time.Second))
	emitting.Wait()
	r.has(Heartbeat, Pass)
	r.has(EventsMissed, Warn, "3 events arrived meanwhile and were not stored (1 of them malformed)")
	if r.Result != Warn || r.Err() != nil {
		t.Errorf("result %s, error %v", r.Result, r.Err())
	}
}

// behind puts a link between doctor and Zoom's WebSocket that delays everything doctor sends after
// its upgrade request. It returns the setting for it.
func (w *world) behind(delay time.Duration) string {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	var way sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	w.t.Cleanup(func() { end(); listener.Close(); way.Wait() })
	way.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.web.Listener.Addr().String())
			if err != nil {
				near.Close()
				return
			}
			context.AfterFunc(ctx, func() { near.Close(); far.Close() })
			way.Go(func() { io.Copy(near, far); near.Close() })
			way.Go(func() { defer far.Close(); crawl(ctx, far, near, delay) })
		}
	})
	return "ZOOM_WEBSOCKET_URL=ws://" + listener.Addr().String() + "/ws?subscriptionId=" + subscription
}

func crawl(ctx context.Context, to io.Writer, from io.Reader, delay time.Duration) {
	for n, buffer := 0, make([]byte, 64<<10); ; n++ {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		if n > 0 {
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return
			}
		}
		to.Write(buffer[:size])
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("ZOOM_CLIENT_ID=", "ZOOM_WEBSOCKET_URL=")
	r.failed(true)
	r.has(Configuration, Fail, "not set: ZOOM_CLIENT_ID, ZOOM_WEBSOCKET_URL")
	r.has(Token, Skip, "ZOOM_CLIENT_ID")
	r.has(Permissions, Pass)
	r.has(Stream, Pass)

	r = w.run("ZOOMSTREAM_LEASE_TTL=abc", "ZOOMSTREAM_STREM=x", "ZOOM_CLIENT_SECRET=")
	r.failed(true)
	r.has(Configuration, Fail, "ZOOMSTREAM_LEASE_TTL", "use for example 15s")
	r.has(Configuration, Fail, "ZOOMSTREAM_STREM", "ZOOMSTREAM_STREAM")
	r.has(Configuration, Fail, "not set: ZOOM_CLIENT_SECRET")
	r.has(Configuration, Skip)
}

// TestHostileTexts: texts of others reach no terminal unescaped.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		rw.Write([]byte(`{"error":"x\u001b[2J","reason":"a\nb secret-must-not-leak client-must-not-leak \u202e"}`))
	}))
	defer evil.Close()
	r := w.run("ZOOM_OAUTH_URL=" + evil.URL)
	r.has(Token, Fail, "HTTP 400")
	if strings.ContainsAny(r.text(), "\x1b\u202e") {
		t.Errorf("%q", r.text())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
