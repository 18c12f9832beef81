package zoom

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// reconnect dials like the bridge until it is connected. It returns how long that took and how many
// dials, and fails the test after patience.
func (w *world) reconnect(t *testing.T, patience time.Duration) (took time.Duration, dials int) {
	t.Helper()
	began := time.Now()
	for pause := 100 * time.Millisecond; time.Since(began) < patience; {
		dials++
		s, err := w.dialer.Dial(t.Context())
		if err == nil {
			s.conn.CloseNow() //nolint:errcheck
			return time.Since(began), dials
		}
		if e, ok := err.(*Error); !ok || e.Cause != CauseRefused { //nolint:errorlint // as it comes
			time.Sleep(pause)
			pause = min(2*pause, 30*time.Second)
		}
	}
	t.Errorf("not connected after %s and %d dials", patience, dials)
	return time.Since(began), dials
}

// kill has Zoom refuse the current token from now on.
func (w *world) kill(t *testing.T) {
	t.Helper()
	if _, err := w.sim.Do("rotate?count=1"); err != nil {
		t.Fatal(err)
	}
	w.sim.IssueToken()
}

// TestDeadTokenIsReplaced: a refused token is replaced at once, however Zoom refuses it.
func TestDeadTokenIsReplaced(t *testing.T) {
	for _, mode := range []string{
		"mode=new", "mode=old", "mode=close", "mode=close&code=1000", "mode=close&code=1011", "mode=close&code=4001", "mode=cut",
		"mode=http&status=400", "mode=http&status=401", "mode=http&status=403", "mode=http&status=404", "mode=http&status=500", "mode=http503",
	} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			w.dial(t, t.Context()).conn.CloseNow() //nolint:errcheck
			if _, err := w.sim.Do("refuse-dead?" + mode); err != nil {
				t.Fatal(err)
			}
			w.kill(t)
			took, dials := w.reconnect(t, time.Hour)
			if took > time.Second || dials > 2 {
				t.Errorf("%s: connected after %s and %d dials", mode, took, dials)
			}
			if st := w.tokens.Stats(); st.Refreshes != 2 || st.Rivals != "" || st.Expires.IsZero() {
				t.Errorf("%s: %+v", mode, st)
			}
		})
	}
}

// TestOneFailureSaysNothing: a token is not replaced after a single failure, after failures that
// never reached Zoom, or after two with a good connection between them.
func TestOneFailureSaysNothing(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		for range 5 {
			if _, err := w.sim.Do("refuse?mode=close&count=1"); err != nil {
				t.Fatal(err)
			}
			w.reconnect(t, time.Hour)
		}
		if n := w.tokens.Stats().Refreshes; n != 1 {
			t.Errorf("%d tokens fetched", n)
		}
	})
	for name, fail := range map[string]func(c net.Conn){
		"no connection":    nil,
		"closed at once":   func(c net.Conn) { c.Close() },
		"never an answer":  func(net.Conn) {},
		"half an answer":   func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 101 Swi"); c.Close() },   //nolint:errcheck
		"something others": func(c net.Conn) { fmt.Fprint(c, "220 smtp ready\r\n"); c.Close() }, //nolint:errcheck
	} {
		synctest.Test(t, func(t *testing.T) {
			var dials atomic.Int64
			sim := zoomsim.New(zoomsim.Options{})
			server := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/ws" {
					sim.Handler().ServeHTTP(w, r)
					return
				}
				dials.Add(1)
				conn, buffered, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				if fail == nil {
					conn.Close() //nolint:errcheck
					return
				}
				fail(conn)
				buffered.ReadByte() //nolint:errcheck // until the client leaves
				conn.Close()        //nolint:errcheck
			}))
			tokens := NewTokenSource(TokenConfig{URL: "http://zoom/oauth/token", HTTP: server.Client()})
			d := NewDialer(Config{Endpoint: "ws://zoom/ws?subscriptionId=s", Tokens: tokens, HTTP: server.Client(), Heartbeat: time.Second})
			for range 6 {
				_, err := d.Dial(t.Context())
				wantCause(t, err, CauseDial)
				time.Sleep(time.Second)
			}
			if st := tokens.Stats(); st.Refreshes != 1 || dials.Load() < 6 {
				t.Errorf("%s: %d tokens fetched for %d dials that never reached Zoom", name, st.Refreshes, dials.Load())
			}
			sim.Close()
			server.Close()
		})
	}
}

// TestWarOfTokens: another program fetches a token after each of ours. The first one is replaced at
// once, the next ones after pauses that grow to a minute and shrink again after the war. The rival
// is reported.
func TestWarOfTokens(t *testing.T) {
	for _, mode := range []string{"new", "close", "http"} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			if _, err := w.sim.Do("refuse-dead?mode=" + mode); err != nil {
				t.Fatal(err)
			}
			var took []time.Duration
			for range 12 {
				w.dial(t, t.Context()).conn.CloseNow() //nolint:errcheck
				w.kill(t)
				again, _ := w.reconnect(t, 2*time.Minute)
				took = append(took, again.Round(time.Millisecond))
				if fought := len(took) >= contentionRefusals; (w.tokens.Stats().Rivals != "") != fought {
					t.Errorf("%s: after %d refused tokens it is told: %t", mode, len(took), !fought)
				}
			}
			if took[0] > time.Second || took[1] > 5*time.Second || took[2] > 10*time.Second {
				t.Errorf("%s: the first ones took %s", mode, took)
			}
			for i, t9 := range took {
				if t9 > maxReplacePause+time.Second || i >= replaceSteps && t9 < maxReplacePause/2 {
					t.Errorf("%s: number %d took %s of %s", mode, i, t9, took)
				}
			}
			if st := w.tokens.Stats(); st.Refreshes != 13 || !strings.Contains(st.Rivals, "somebody else") {
				t.Errorf("%s: %+v", mode, st)
			}
			time.Sleep(contentionWindow + time.Minute)
			if st := w.tokens.Stats(); st.Rivals != "" {
				t.Errorf("%s: it is told for ever", mode)
			}
			w.kill(t)
			if again, _ := w.reconnect(t, time.Hour); again > time.Second {
				t.Errorf("%s: after some calm %s", mode, again)
			}
			w.kill(t)
			if again, _ := w.reconnect(t, time.Hour); again > 10*time.Second {
				t.Errorf("%s: and then %s", mode, again)
			}
		})
	}
}

// TestUselessTokensAreBounded: for an hour Zoom accepts no token. A token is fetched at most every
// half minute and dials are bounded, too. Only refusals that are about the token are reported as a
// rival.
func TestUselessTokensAreBounded(t *testing.T) {
	for mode, told := range map[string]bool{
		"mode=new": true, "mode=close": true, "mode=http&status=400": true, "mode=http&status=404": false, "mode=http503": false,
		"mode=http&status=429&retry-after=10s": false, "mode=cut": false,
	} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			if _, err := w.sim.Do("refuse?" + mode); err != nil {
				t.Fatal(err)
			}
			began, dials, pause := time.Now(), 0, 100*time.Millisecond
			for time.Since(began) < time.Hour {
				dials++
				_, err := w.dialer.Dial(t.Context())
				if e, ok := err.(*Error); ok && e.Cause == CauseRefused { //nolint:errorlint // as it comes
					time.Sleep(e.RetryAfter)
					continue
				}
				time.Sleep(pause)
				pause = min(2*pause, 30*time.Second)
			}
			st := w.tokens.Stats()
			if st.Refreshes > 130 || st.Refreshes < 30 || dials > 300 {
				t.Errorf("%s: %d tokens and %d dials in an hour", mode, st.Refreshes, dials)
			}
			if (st.Rivals != "") != told {
				t.Errorf("%s: told as a war: %t", mode, !told)
			}
		})
	}
}

// TestOneSubscriptionDoesNotHoldUpOthers: a token that Zoom refuses for one subscription still
// serves the others, even while its replacement has to wait.
func TestOneSubscriptionDoesNotHoldUpOthers(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		cfg := w.dialer.cfg
		cfg.Endpoint = "ws://zoom/ws?subscriptionId=deleted"
		deleted := NewDialer(cfg)
		if _, err := w.sim.Do("refuse?mode=new&subscription=deleted"); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for began := time.Now(); time.Since(began) < time.Hour; {
				deleted.Dial(t.Context()) //nolint:errcheck // it never works
			}
		}()
		for range 50 {
			time.Sleep(time.Minute)
			began := time.Now()
			w.dial(t, t.Context()).conn.CloseNow() //nolint:errcheck
			if took := time.Since(began); took > 0 {
				t.Errorf("it took %s", took)
			}
		}
		<-done
	})
}

// TestRefusedWithinASession: a refusal within a session counts like one at its start.
func TestRefusedWithinASession(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		for range contentionRefusals {
			_, err := w.during(t, func() {
				time.Sleep(time.Minute)
				w.sim.SendRaw(subscription, []byte(`{"module":"heartbeat","success":false,"content":"Token is invalid","header":{}}`), false)
			})
			wantCause(t, err, CauseRefused)
		}
		if st := w.tokens.Stats(); st.Refreshes != contentionRefusals || st.Rivals == "" || !st.Expires.IsZero() {
			t.Errorf("%+v", st)
		}
	})
}

// TestDisplacedBeforeItWasReady: a displacement before the connection is ready does not count
// against the token.
func TestDisplacedBeforeItWasReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := 0
		server := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth/token" {
				tokens++
				grant(w, fmt.Sprintf("eyJ%d", tokens), "")
				return
			}
			if conn, err := websocket.Accept(w, r, nil); err == nil {
				conn.Close(websocket.StatusNormalClosure, "Connected in another place") //nolint:errcheck
			}
		}))
		defer server.Close()
		source := NewTokenSource(TokenConfig{URL: "http://zoom/oauth/token", HTTP: server.Client()})
		d := NewDialer(Config{Endpoint: "ws://zoom/ws?subscriptionId=s", Tokens: source, HTTP: server.Client(), Heartbeat: time.Second})
		for range 5 {
			_, err := d.Dial(t.Context())
			wantCause(t, err, CauseDisplaced)
		}
		if tokens != 1 {
			t.Errorf("%d tokens", tokens)
		}
	})
}
