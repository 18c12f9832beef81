package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// message is what a viewer receives.
type message struct {
	At       time.Time        `json:"at"`
	Full     bool             `json:"full"`
	Overview *status.Overview `json:"overview"`
	Events   []page.Event     `json:"events"`
	Timeline []page.Moment    `json:"timeline"`
	Errors   []string         `json:"errors"`
	Failed   map[string]struct {
		Error   string    `json:"error"`
		Read    time.Time `json:"read"`
		Partial bool      `json:"partial"`
	} `json:"failed"`
}

// watch opens a stream of messages.
func watch(t testing.TB, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// next reads a message, and checks its framing.
func next(t testing.TB, r *bufio.Reader) (m message) {
	t.Helper()
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		data, ok := strings.CutPrefix(text, "data: ")
		if !ok {
			if text != "\n" && !strings.HasPrefix(text, ":") && !strings.HasPrefix(text, "retry: ") {
				t.Fatalf("a line %q", text)
			}
			continue
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		if end, _ := r.ReadString('\n'); end != "\n" {
			t.Fatalf("after the message %q", end)
		}
		return m
	}
}

// TestHeaders: every response has its content type and the security headers.
func TestHeaders(t *testing.T) {
	url := serve(t, demo(1), "0").url
	for path, kind := range map[string]string{
		"": "text/html", "assets/page.js": "text/javascript", "assets/page.css": "text/css", "assets/icon.svg": "image/svg+xml",
		"assets/uPlot.iife.min.js": "text/javascript", "assets/uPlot.LICENSE": "text/plain", "events": "text/event-stream",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			request, _ := http.NewRequestWithContext(t.Context(), method, url+path, nil)
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			h := response.Header
			if response.StatusCode != 200 || !strings.HasPrefix(h.Get("Content-Type"), kind) {
				t.Errorf("%s /%s: %s, %s", method, path, response.Status, h.Get("Content-Type"))
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if h.Get(name) != want {
					t.Errorf("%s /%s: %s is %q", method, path, name, h.Get(name))
				}
			}
			if cache := h.Get("Cache-Control"); cache != "no-cache" && (path != "events" || cache != "no-store") {
				t.Errorf("/%s: Cache-Control is %q", path, cache)
			}
			if tag := h.Get("ETag"); tag != "" {
				again := httptest.NewRecorder()
				r := httptest.NewRequest("GET", "/"+path, nil)
				r.Header.Set("If-None-Match", tag)
				page.New(page.Source{}, zerolog.Nop()).ServeHTTP(again, r)
				if again.Code != 304 {
					t.Errorf("/%s: %d for one that has it", path, again.Code)
				}
			}
			response.Body.Close()
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	p := page.New(page.Source{}, zerolog.Nop())
	for request, want := range map[string]int{
		"POST /": 405, "PUT /assets/page.js": 405, "DELETE /events": 405, "OPTIONS /": 405,
		"GET /else": 404, "GET /assets/": 404, "GET /assets/none.js": 404, "GET /assets/..%2fpage.go": 404, "GET /assets/%2e%2e": 404, "GET /assets/a%2findex.html": 200,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", request)
		}
	}
}

// TestFilesKeepToThePolicy: no file loads anything from another host, or needs what the policy
// forbids.
func TestFilesKeepToThePolicy(t *testing.T) {
	files, err := filepath.Glob("assets/*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "uPlot") {
			continue
		}
		forbidden := []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\"", " onclick=", "https://", "@import"}
		for _, word := range forbidden {
			if strings.Contains(string(content), word) {
				t.Errorf("%s has %s", name, word)
			}
		}
		if lines := strings.Count(string(content), "\n"); lines > 350 {
			t.Errorf("%s has %d lines", name, lines)
		}
	}
}

func TestMessages(t *testing.T) {
	w := demo(2)
	response := watch(t, serve(t, w, "0").url)
	defer response.Body.Close()
	r := bufio.NewReader(response.Body)

	first := next(t, r)
	if !first.Full || len(first.Overview.Subscriptions) != 2 || len(first.Overview.Subscriptions[0].History) != 180 || len(first.Events) != 24 || len(first.Timeline) != 4 || first.Errors == nil {
		t.Errorf("the first message is %+v", first)
	}
	second := next(t, r)
	if second.Full || second.Overview == nil || len(second.Overview.Subscriptions[0].History) != 0 || second.Events != nil || second.Timeline != nil {
		t.Errorf("the second message is %+v", second)
	}
	if d := second.At.Sub(first.At); d < 500*time.Millisecond {
		t.Errorf("%v between two messages", d)
	}

	w.change(func(w *world) { w.events = w.events[1:] })
	for m := next(t, r); len(m.Events) != 23; m = next(t, r) {
		if m.Timeline != nil {
			t.Error("a timeline that has not changed is sent again")
		}
	}
	w.change(func(w *world) { w.away = errAway })
	m := next(t, r)
	for ; len(m.Errors) == 0; m = next(t, r) {
	}
	if m.Overview != nil || len(m.Errors) != 1 || m.Errors[0] != "the replicas cannot be asked: "+errAway.Error() {
		t.Errorf("without NATS: %+v", m)
	}
	// A viewer that comes now gets what was known, and the history once NATS is back.
	late := watch(t, response.Request.URL.Scheme+"://"+response.Request.URL.Host+"/")
	defer late.Body.Close()
	l := bufio.NewReader(late.Body)
	if m := next(t, l); m.Full || m.Overview == nil || len(m.Errors) != 1 || len(m.Timeline) != 4 {
		t.Errorf("who comes later gets %+v", m)
	}
	w.change(func(w *world) { w.away = nil })
	for m = next(t, l); !m.Full; m = next(t, l) {
	}
	if len(m.Overview.Subscriptions[0].History) != 180 {
		t.Error("no history")
	}
}

func TestPartialAnswersAreShownBesideTheirError(t *testing.T) {
	w := demo(1)
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, _ := inner(ctx, history)
		return o, errors.New("one replica only")
	}
	source.Events = func(context.Context) ([]page.Event, error) { return nil, errors.New("no stream") }
	m := one(t, source)
	if m.Overview == nil || !m.Full || m.Events != nil || len(m.Errors) != 2 || m.Errors[1] != "the latest events cannot be read: no stream" {
		t.Errorf("%+v", m)
	}
	overview, events := m.Failed["overview"], m.Failed["events"]
	if len(m.Failed) != 2 || overview.Error != "one replica only" || !overview.Partial || !overview.Read.IsZero() ||
		events.Error != "no stream" || events.Partial || !events.Read.IsZero() {
		t.Errorf("what failed is %+v", m.Failed)
	}
}

// TestWhatJSONCannotHold: a NaN, which JSON does not have, causes an error and no panic.
func TestWhatJSONCannotHold(t *testing.T) {
	w := demo(1)
	nan := 0.0
	w.overview.Subscriptions[0].Rate = nan / nan
	if m := one(t, w.source()); len(m.Errors) != 1 || m.Overview != nil {
		t.Errorf("%+v", m)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	w := demo(1)
	long := strings.Repeat("ä", 1<<20)
	w.events = make([]page.Event, 1000)
	for i := range w.events {
		w.events[i] = page.Event{Seq: uint64(i), Topic: long, Event: long, ID: long}
	}
	w.away = nil
	m := one(t, w.source())
	if n := len(m.Events); n != 100 {
		t.Errorf("%d events", n)
	}
	if topic := m.Events[0].Topic; len(topic) > 610 || !strings.HasSuffix(topic, "ä…") {
		t.Errorf("a topic of %d bytes that ends in %q", len(topic), topic[len(topic)-6:])
	}
}

// one returns the first message of a source.
func one(t *testing.T, source page.Source) message {
	t.Helper()
	p := page.New(source, zerolog.Nop())
	s := httptest.NewServer(p)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	defer func() { cancel(); wg.Wait(); s.Close() }()
	response := watch(t, s.URL+"/")
	defer response.Body.Close()
	return next(t, bufio.NewReader(response.Body))
}
