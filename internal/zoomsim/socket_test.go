package zoomsim_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

func TestHeartbeatsAreAnswered(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	p.send(`heartbeat`)
	p.send(`{"module":"weather"}`)
	for range 3 {
		p.send(`{"module":"heartbeat"}`)
		data, err := p.raw()
		if err != nil || string(data) != `{"module":"heartbeat","success":true,"content":"live","header":{}}` {
			t.Fatalf("answer %s %v", data, err)
		}
	}
	if k := z.Ledger().Sockets[0]; k.Heartbeats != 3 || k.Unknown != 2 || k.Ready.IsZero() {
		t.Errorf("record %+v", k)
	}
}

// TestRefusalsWithoutAWord: refusals by a status, a close code or a reset, of every dial or of
// those with a dead token.
func TestRefusalsWithoutAWord(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	for _, dead := range []bool{false, true} {
		action, token, spared := "refuse", z.IssueToken(), "eyJ.dead"
		if dead {
			action, token, spared = "refuse-dead", "eyJ.dead", z.IssueToken()
		}
		answered := func(query string) (int, error) {
			z.do(action + query)
			conn, answer, err := websocket.Dial(t.Context(), z.url("S1", token), &websocket.DialOptions{HTTPClient: z.client})
			if err != nil {
				return answer.StatusCode, nil
			}
			defer conn.CloseNow() //nolint:errcheck
			_, _, err = conn.Read(t.Context())
			return http.StatusSwitchingProtocols, err
		}
		for query, want := range map[string]int{"?mode=http": 403, "?mode=http&status=500": 500, "?mode=http503": 503, "?mode=http&status=99": 403} {
			if got, err := answered(query); got != want || err != nil {
				t.Errorf("%s%s: %d, %v", action, query, got, err)
			}
		}
		for query, want := range map[string]websocket.StatusCode{"?mode=close": 1008, "?mode=close&code=4001": 4001, "?mode=cut": -1} {
			if got, err := answered(query); got != 101 || err == nil || websocket.CloseStatus(err) != want {
				t.Errorf("%s%s: %d, %v", action, query, got, err)
			}
		}
		if dead {
			if f := z.dial("S1", spared).next(); !*f.Success {
				t.Error("a good token is refused like a dead one")
			}
		}
		z.do("reset")
	}
}

func TestRefusals(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	refuse := func(mode zoomsim.RefuseMode) func() {
		return func() {
			if err := z.Refuse("S1", zoomsim.Refusal{Mode: mode}, zoomsim.Span{Count: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, token, content string
		before               func()
	}{
		{"no token", "", "token is empty", func() {}},
		{"unknown token", "eyJ.nonsense", "Token is invalid", func() {}},
		{"old wording", z.IssueToken(), "Invalid Token", refuse(zoomsim.RefuseOld)},
		{"new wording", z.IssueToken(), "Token is invalid", refuse(zoomsim.RefuseNew)},
	} {
		c.before()
		p := z.dial("S1", c.token)
		data, err := p.raw()
		want := `{"module":"build_connection","success":false,"content":"` + c.content + `","header":{}}`
		if err != nil || string(data) != want {
			t.Errorf("%s: frame %s %v, want %s", c.name, data, err, want)
		}
		if err := p.end(); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%s: end %v", c.name, err)
		}
	}
	z.await("S1", func(s zoomsim.Summary) bool { return s.Open == 0 })
	if sum := z.Summary("S1"); sum.Retired[zoomsim.CauseRefused] != 4 || sum.Ready != 0 {
		t.Errorf("summary %+v", sum)
	}
}

func TestDialsWithoutUpgrade(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	status := func(url string) *http.Response {
		_, resp, err := websocket.Dial(t.Context(), url, nil)
		if err == nil || resp == nil {
			t.Fatalf("%s: dial worked", url)
		}
		return resp
	}
	if resp := status(strings.Replace(z.url("", "x"), "subscriptionId=&", "", 1)); resp.StatusCode != 404 {
		t.Errorf("no subscription: %d, want 404", resp.StatusCode)
	}
	z.Refuse("", zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503, RetryAfter: 5 * time.Second}, zoomsim.Span{Count: 1})
	if resp := status(z.url("S1", z.IssueToken())); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "5" {
		t.Errorf("503: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	z.connect("S1")
}

func TestNewestSocketDisplaces(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	old := z.connect("S1")
	other := z.connect("S2")
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	z.dial("S1", "bad").end() // a refused dial displaces nobody
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	newer := z.connect("S1")
	d := z.Emit("S1", zoomsim.Event{Name: "meeting.ended"})
	if f := newer.next(); f.Header["x-zm-trackingid"] != d.TrackingID {
		t.Errorf("the new socket got %+v", f)
	}
	old.next()
	old.next()
	var ce websocket.CloseError
	if err := old.end(); !errors.As(err, &ce) || ce.Code != 1000 || ce.Reason != "Connected in another place" {
		t.Errorf("the old socket ended with %v", err)
	}
	z.Emit("S2", zoomsim.Event{Name: "meeting.ended"})
	other.next()
	z.await("", func(s zoomsim.Summary) bool { return s.Queued == 0 }) // a client may be faster than the ledger
	if n := len(z.Ledger().Missed()); n != 0 {
		t.Errorf("%d events missed", n)
	}
}

func TestLingerAndDisplacementByFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{Linger: 2 * time.Second, DisplaceFrame: true})
		defer end()
		old := z.connect("S1")
		start := time.Now()
		z.connect("S1")
		old.send(`{"module":"heartbeat"}`)
		if f := old.next(); f.Module != "heartbeat" {
			t.Errorf("a lingering socket got %+v", f)
		}
		if f := old.next(); *f.Success || string(f.Content) != `"Connected in another place"` {
			t.Errorf("frame %+v", f)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("lingered %v, want 2s", took)
		}
		var ce websocket.CloseError
		if err := old.end(); !errors.As(err, &ce) || ce.Reason != "" {
			t.Errorf("end %v, want a close frame without a reason", err)
		}
	})
}

func TestSilentSocketsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{IdleTimeout: time.Minute})
		defer end()
		p := z.connect("S1")
		start := time.Now()
		for range 10 {
			time.Sleep(50 * time.Second)
			p.send(`{"module":"heartbeat"}`)
			p.next()
		}
		if err := p.end(); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("end %v", err)
		}
		if took := time.Since(start); took != 560*time.Second {
			t.Errorf("closed after %v, want a minute after the last beat", took)
		}
		if sum := z.Summary(""); sum.Retired[zoomsim.CauseIdle] != 1 {
			t.Errorf("summary %+v", sum)
		}
	})
}

func TestTokenExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, closes := range []bool{true, false} {
			z, end := onPipe(t, zoomsim.Options{TokenLifetime: time.Minute, IdleTimeout: 2 * time.Minute, CloseOnExpiry: closes})
			token := z.IssueToken()
			p := z.dial("S1", token)
			start := time.Now()
			p.next()
			time.Sleep(59 * time.Second)
			if f := z.dial("S2", token).next(); !*f.Success {
				t.Error("the token died early")
			}
			want := time.Minute
			if !closes {
				want = 2 * time.Minute
			}
			for err := error(nil); err == nil; {
				_, _, err = p.Read(t.Context())
			}
			if took := time.Since(start); took != want {
				t.Errorf("CloseOnExpiry %v: ended after %v", closes, took)
			}
			if f := z.dial("S2", token).next(); *f.Success {
				t.Error("an expired token opened a socket")
			}
			end()
		}
	})
}

func TestCutIsAReset(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	if n := z.Cut("S1"); n != 1 {
		t.Fatalf("cut %d sockets", n)
	}
	if err := p.end(); websocket.CloseStatus(err) != -1 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("end %v, want a connection reset", err)
	}
	if d := z.Emit("S1", zoomsim.Event{Name: "meeting.started"}); d.Outcome != zoomsim.Nobody || d.Socket != 0 {
		t.Errorf("an event after the cut: %+v", d)
	}
	z.await("S1", func(s zoomsim.Summary) bool { return s.Open == 0 })
	if sum := z.Summary("S1"); sum.Retired[zoomsim.CauseCut] != 1 || sum.Live != 0 {
		t.Errorf("summary %+v", sum)
	}
}

func TestCutOverAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		p := z.connect("S1")
		z.Freeze("S1", 0, false)
		z.Cut("")
		if err := p.end(); !errors.Is(err, io.EOF) {
			t.Errorf("end %v", err)
		}
		z.await("S1", func(s zoomsim.Summary) bool { return s.Open == 0 })
	})
}

func TestCloseCarriesCodeAndReason(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	for range 100 {
		z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	}
	if n, err := z.CloseSockets("", 4006, "bye"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for range 100 { // queued frames come first
		p.next()
	}
	var ce websocket.CloseError
	if err := p.end(); !errors.As(err, &ce) || ce.Code != 4006 || ce.Reason != "bye" {
		t.Errorf("end %v", err)
	}
	if _, err := z.CloseSockets("", 1005, ""); err == nil {
		t.Error("code 1005 was accepted")
	}
}

func TestCausesOfTheClient(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	gone := func(s zoomsim.Summary) bool { return s.Open == 0 }
	z.connect("S1").Close(websocket.StatusNormalClosure, "")
	z.await("S1", gone)
	z.connect("S1").CloseNow()
	z.await("S1", gone)
	if sum := z.Summary("S1"); sum.Retired[zoomsim.CauseClient] != 1 || sum.Retired[zoomsim.CauseGone] != 1 {
		t.Errorf("causes %v", sum.Retired)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{Linger: time.Hour})
		z.connect("S1")
		p := z.connect("S1")
		z.connect("S2")
		z.Freeze("S1", 0, true)
		z.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenHang}, zoomsim.Span{})
		go z.client.Post(z.base+"/oauth/token", formType, strings.NewReader(""))
		go z.client.Get(z.base + "/ws?subscriptionId=S1")
		synctest.Wait()
		start := time.Now()
		end()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := p.end(); err == nil {
			t.Error("a socket outlived the simulator")
		}
		if sum := z.Summary(""); sum.Open != 0 || sum.Live != 0 || sum.Retired[zoomsim.CauseStopped] != 2 {
			t.Errorf("summary %+v", sum)
		}
		if d := z.Emit("S1", zoomsim.Event{Name: "x"}); d.Outcome != zoomsim.Nobody {
			t.Errorf("delivery %+v", d)
		}
	})
}
