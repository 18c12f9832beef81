package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// host is a Server with a real listener and a real page.
type host struct {
	t      *testing.T
	server *Server
	health *Health
	page   *page.Page
	log    *bytes.Buffer // the log of Listen

	mu  sync.Mutex
	now status.Replica

	stop func() error // ends Run and the page, and returns Run's error
}

func serve(t *testing.T, address string) *host {
	t.Helper()
	h := listen(t, Options{Address: address})
	h.run()
	return h
}

func listen(t *testing.T, opt Options) *host {
	t.Helper()
	h := &host{t: t, health: &Health{}, log: &bytes.Buffer{}}
	h.page = page.New(page.Source{
		Overview: func(context.Context, bool) (*status.Overview, error) { return status.Alone("b", h.status(true)), nil },
		Events:   func(context.Context) ([]page.Event, error) { return nil, nil },
		Timeline: func(context.Context) ([]page.Moment, error) { return nil, nil },
		Message: func(_ context.Context, seq uint64) (*page.Stored, error) {
			return page.NewStored(seq, "zoom.meeting.started", time.Now(), nil, []byte(`{"email":"jill@example.com"}`)), nil
		},
		Search: func(context.Context, string, time.Time) (*page.Found, error) {
			return &page.Found{Events: []page.Event{{Topic: "jill@example.com"}}}, nil
		},
	}, zerolog.Nop())
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "zoomstream_test"}))
	opt.Ready = func() error {
		switch now := h.status(false); {
		case now.Phase != status.Ready:
			return errors.New(string(now.Phase))
		case !now.Outbox.NATS:
			return errors.New("no connection to NATS")
		}
		return nil
	}
	opt.Registry, opt.Status, opt.Health, opt.Page, opt.Log = registry, h.status, h.health, h.page, zerolog.New(h.log)
	var err error
	if h.server, err = Listen(opt); err != nil {
		t.Fatal(err)
	}
	return h
}

// run serves until stop is called or the test ends.
func (h *host) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() { h.page.Run(ctx) })
	done := make(chan error, 1)
	go func() { done <- h.server.Run(ctx) }()
	h.stop = sync.OnceValue(func() error {
		cancel()
		beside.Wait()
		return <-done
	})
	h.t.Cleanup(func() {
		if err := h.stop(); err != nil {
			h.t.Error(err)
		}
	})
}

func (h *host) status(history bool) *status.Replica {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now
	if history {
		now.Version = "with history"
	}
	return &now
}

func (h *host) set(change func(*status.Replica)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.now)
}

// answer is the response to a request.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (h *host) do(method, path, hostHeader string) answer {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), method, strings.TrimSuffix(h.server.URL(), "/")+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	request.Host = hostHeader
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func (h *host) get(path string) answer {
	h.t.Helper()
	return h.do(http.MethodGet, path, "")
}

func TestRoutes(t *testing.T) {
	h := serve(t, "127.0.0.1:0")
	h.set(func(r *status.Replica) { r.Phase, r.Outbox.NATS, r.Replica = status.Ready, true, "replica-1" })
	for path, want := range map[string]string{
		"/": "<!doctype html>", "/metrics": "zoomstream_test", "/healthz": "ok", "/livez": "ok", "/-/healthy": "ok", "/readyz": "ready", "/-/ready": "ready",
		"/status": `"replica": "replica-1"`, "/status?history": `"version": "with history"`, "/debug/pprof/": "goroutine", "/debug/pprof/symbol": "num_symbols",
		"/debug/pprof/goroutine?debug=1": "goroutine profile", "/schemas/": "asyncapi.json", "/schemas/asyncapi.json": `"asyncapi": "3.0.0"`, "/schemas/gap.json": `"title": "Gap"`,
	} {
		got := h.get(path)
		if got.code != http.StatusOK || !strings.Contains(strings.ToLower(got.body), strings.ToLower(want)) {
			t.Errorf("%s: %d %.200q", path, got.code, got.body)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a browser may guess its type: %v", path, got.header)
		}
		if head := h.do(http.MethodHead, path, ""); head.code != http.StatusOK || head.body != "" {
			t.Errorf("HEAD %s: %d %.100q", path, head.code, head.body)
		}
	}
	for _, path := range []string{"/x", "/statusx", "/status/", "/metrics/", "/assets/", "/assets/../server.go", "/assets/%2e%2e/page.go", "/debug/pprof/cmdline", "/debug/pprof/nothing", "/debug/", "/healthz/x", "/schemas", "/schemas/schema.go", "/schemas/../server.go"} {
		if got := h.get(path); got.code != http.StatusNotFound && got.code/100 != 3 {
			t.Errorf("%s: %d %.100q", path, got.code, got.body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/status", "/events", "/assets/x", "/nothing",
			"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/symbol", "/debug/pprof/profile"} {
			if got := h.do(method, path, ""); got.code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, got.code)
			}
		}
	}
	var r status.Replica
	if got := h.get("/status"); json.Unmarshal([]byte(got.body), &r) != nil || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("/status: %v %.100q", got.header, got.body)
	}
}

// TestReadiness: a replica is ready only if it leads or stands by, and has NATS.
func TestReadiness(t *testing.T) {
	h := serve(t, "127.0.0.1:0")
	for _, c := range []struct {
		phase status.Phase
		nats  bool
		code  int
		text  string
	}{
		{"", false, 503, "not ready"}, {status.Starting, false, 503, "starting"}, {status.Starting, true, 503, "starting"},
		{status.Ready, true, 200, "ready"}, {status.Ready, false, 503, "no connection to NATS"}, {status.Draining, true, 503, "draining"},
	} {
		h.set(func(r *status.Replica) { r.Phase, r.Outbox.NATS = c.phase, c.nats })
		for _, path := range []string{"/readyz", "/-/ready"} {
			if got := h.get(path); got.code != c.code || !strings.Contains(got.body, c.text) {
				t.Errorf("%s with phase %q and NATS %v: %d %q", path, c.phase, c.nats, got.code, got.body)
			}
		}
		if got := h.get("/healthz"); got.code != http.StatusOK { // never depends on NATS
			t.Errorf("/healthz with phase %q: %d", c.phase, got.code)
		}
	}
}

// TestStuckLoop: a loop that is stuck makes the process unhealthy, and is named.
func TestStuckLoop(t *testing.T) {
	h := serve(t, "127.0.0.1:0")
	h.health.Beat("lease")
	h.health.Beat("publishing")
	if got := h.get("/healthz"); got.code != http.StatusOK {
		t.Fatalf("%d %q", got.code, got.body)
	}
	h.health.mu.Lock()
	h.health.beats["publishing"] = time.Now().Add(-2 * time.Minute)
	h.health.mu.Unlock()
	for _, path := range []string{"/healthz", "/livez", "/-/healthy"} {
		if got := h.get(path); got.code != http.StatusServiceUnavailable || !strings.Contains(got.body, "publishing for 2m") || strings.Contains(got.body, "lease") {
			t.Errorf("%s: %d %q", path, got.code, got.body)
		}
	}
	h.health.Ended("publishing")
	if got := h.get("/healthz"); got.code != http.StatusOK {
		t.Errorf("a loop that has ended is stuck: %q", got.body)
	}
}

// TestOtherHosts: on loopback, requests for a name that a stranger's DNS points here are refused.
func TestOtherHosts(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		if address == "[::1]:0" && !ipv6(t) {
			continue
		}
		h := serve(t, address)
		_, port, _ := net.SplitHostPort(h.server.listener.Addr().String())
		for name, want := range map[string]int{
			"": 200, "localhost": 200, "LOCALHOST:" + port: 200, "127.0.0.1:" + port: 200, "127.9.9.9": 200, "[::1]:" + port: 200, "[::1]": 200, "[::ffff:127.0.0.1]:" + port: 200,
			"evil.example": 403, "evil.example:" + port: 403, "127.0.0.1.evil.example": 403, "localhost.evil.example:" + port: 403, "10.0.0.1:" + port: 403,
			"[fe80::1]:" + port: 403, "[::]:" + port: 403, "0.0.0.0": 403, "2130706433": 403, "0x7f.1": 403, "127.1": 403, "localhost.": 403,
		} {
			for _, path := range []string{"/", "/status", "/metrics", "/healthz", "/debug/pprof/heap", "/nothing"} {
				got := h.do(http.MethodGet, path, name)
				if want == 403 && got.code != want || want == 200 && path != "/nothing" && got.code != want && path != "/readyz" {
					t.Errorf("%s for host %q on %s: %d, want %d", path, name, address, got.code, want)
				}
			}
		}
		// HTTP/1.0 does not require a Host.
		if line := h.raw("GET /status HTTP/1.0\r\n\r\n"); !strings.Contains(line, " 403 ") {
			t.Errorf("without a host: %q", line)
		}
		// The absolute form takes precedence over the header.
		if line := h.raw("GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.Contains(line, " 403 ") {
			t.Errorf("absolute form: %q", line)
		}
	}
}

// TestProfilesAreForTools: web pages (this server's own included) and proxies cannot take profiles,
// and nobody can take long ones.
func TestProfilesAreForTools(t *testing.T) {
	h := serve(t, "127.0.0.1:0")
	const request = "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n"
	for _, header := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin",
		"X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "Via: 1.1 proxy"} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/profile?seconds=1",
			"/debug/pprof/trace?seconds=1", "/debug/pprof/symbol", "/debug/pprof/cmdline"} {
			if line := h.raw(fmt.Sprintf(request, path, header+"\r\n")); !strings.Contains(line, " 403 ") {
				t.Errorf("%s with %s: %q", path, header, line)
			}
		}
		if line := h.raw(fmt.Sprintf(request, "/", header+"\r\n")); !strings.Contains(line, " 200 ") {
			t.Errorf("the page with %s: %q", header, line)
		}
	}
	for _, path := range []string{"profile", "trace", "heap", "goroutine", "allocs"} {
		for _, seconds := range []string{"61", "99999999999", "0", "-1", "x", "", "0.5", "Inf", "1&seconds=3600"} {
			line := h.raw(fmt.Sprintf(request, "/debug/pprof/"+path+"?seconds="+seconds, ""))
			if !strings.Contains(line, " 400 ") {
				t.Errorf("%s of %s seconds: %q", path, seconds, line)
			}
		}
	}
}

// raw sends bytes and returns the first line of the response.
func (h *host) raw(request string) string {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.server.listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // a connection has one
	fmt.Fprint(conn, request)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		h.t.Fatal(err)
	}
	return line
}

func ipv6(t *testing.T) bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return false
	}
	l.Close()
	return true
}

// TestBeyondLoopback: beyond loopback any host name is accepted, and there is no pprof.
func TestBeyondLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0"} {
		h := serve(t, address)
		_, port, _ := net.SplitHostPort(h.server.listener.Addr().String())
		for _, path := range []string{"/", "/status", "/metrics", "/healthz"} {
			if got := h.reach("127.0.0.1:"+port, path, "zoomstream.example"); got != http.StatusOK {
				t.Errorf("%s on %s: %d", path, address, got)
			}
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
			if got := h.reach("127.0.0.1:"+port, path, "localhost"); got != http.StatusNotFound {
				t.Errorf("%s on %s: %d", path, address, got)
			}
		}
	}
}

func (h *host) reach(address, path, name string) int {
	h.t.Helper()
	request, _ := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+address+path, nil)
	request.Host = name
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestTakenPort(t *testing.T) {
	first := listen(t, Options{Address: "127.0.0.1:0"})
	first.run()
	taken := first.server.listener.Addr().String()
	_, err := Listen(Options{Address: taken, Log: zerolog.Nop()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "ZOOMSTREAM_HTTP_ADDR") || !strings.Contains(err.Error(), taken) {
		t.Errorf("%v", err)
	}
	second := listen(t, Options{Address: taken, Elsewhere: true})
	second.run()
	elsewhere, ok := second.server.listener.Addr().(*net.TCPAddr)
	if !ok || !elsewhere.IP.IsLoopback() || elsewhere.String() == taken {
		t.Errorf("elsewhere is %v", second.server.listener.Addr())
	}
	if text := second.log.String(); !strings.Contains(text, "http.elsewhere") || !strings.Contains(text, second.server.URL()) {
		t.Errorf("nobody is told: %s", text)
	}
	if got := second.get("/healthz"); got.code != http.StatusOK {
		t.Errorf("elsewhere answers %d", got.code)
	}
	for _, wrong := range []string{"nonsense", "127.0.0.1", "127.0.0.1:99999", "203.0.113.1:1", "no.such.host.invalid:80"} {
		if s, err := Listen(Options{Address: wrong, Elsewhere: true, Log: zerolog.Nop()}); err == nil || !strings.Contains(err.Error(), "ZOOMSTREAM_HTTP_ADDR") {
			t.Errorf("%s: %v %v", wrong, s, err)
		}
	}
}

// TestShutdown: a stop does not wait for open event streams, requests under way and silent
// connections, and leaves nothing behind.
func TestShutdown(t *testing.T) {
	before := goroutines()
	h := serve(t, "127.0.0.1:0")
	response, err := http.Get(h.server.URL() + "events")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	silent, err := net.Dial("tcp", h.server.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	half, err := net.Dial("tcp", h.server.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(half, "GET /sta")
	profile, err := net.Dial("tcp", h.server.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(profile, "GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	if err := h.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took > shutdownTimeout+time.Second {
		t.Errorf("ended after %s", took)
	}
	for lines.Scan() { // until the event stream has ended, too
	}
	response.Body.Close()
	for _, c := range []net.Conn{silent, half, profile} {
		c.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); goroutines() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", goroutines(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
	if conn, err := net.Dial("tcp", h.server.listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func goroutines() int { return runtime.NumGoroutine() }

// TestEndBeforeTheBegin: a Server that has not served anything frees its address.
func TestEndBeforeTheBegin(t *testing.T) {
	h := listen(t, Options{Address: "127.0.0.1:0"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.server.Run(ctx); err != nil {
		t.Errorf("ended with %v", err)
	}
	l, err := net.Listen("tcp", h.server.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestClientsWriteNoLog: clients' mistakes are not logged. Otherwise clients could add lines to the
// log at will.
func TestClientsWriteNoLog(t *testing.T) {
	var said syncbuf.Buffer
	before := log.Writer()
	log.SetOutput(&said)
	defer log.SetOutput(before)
	h := serve(t, "127.0.0.1:0")
	h.get("/status?a;b")
	h.get("/healthz?a=1;b=2")
	h.raw("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
	h.raw("\x16\x03\x01\r\n\r\n")
	time.Sleep(50 * time.Millisecond)
	if text := said.String(); text != "" {
		t.Errorf("a client writes to the process's standard log:\n%s", text)
	}
}
