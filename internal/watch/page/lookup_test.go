package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/watch/page"
)

func ask(p http.Handler, ctx context.Context, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return w
}

// TestLookups: /event/ and /search answer in JSON, and refuse invalid requests.
func TestLookups(t *testing.T) {
	w := demo(1)
	p := page.New(w.source(), zerolog.Nop())
	var stored page.Stored
	got := ask(p, t.Context(), "/event/184467")
	if err := json.Unmarshal(got.Body.Bytes(), &stored); err != nil || stored.Seq != 184_467 || stored.Subject != "zoom.meeting.started" || len(stored.Headers) != 4 || !strings.Contains(stored.Body, "\n  \"event\": \"meeting.started\",\n") {
		t.Errorf("%v: %s", err, got.Body)
	}
	if h := got.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	var found page.Found
	got = ask(p, t.Context(), "/search?what=%20meeting.started%20&since=24h")
	if err := json.Unmarshal(got.Body.Bytes(), &found); err != nil || len(found.Events) != 4 || found.Malformed == nil || time.Since(found.Since) < 24*time.Hour || time.Since(found.Since) > 25*time.Hour {
		t.Errorf("%v: %s", err, got.Body)
	}
	w.change(func(w *world) { w.away = errAway })
	for path, want := range map[string]string{
		"/event/0": "400", "/event/-1": "400", "/event/x": "400", "/event/99999999999999999999": "400", "/event/": "404", "/event/1": "503 " + errAway.Error(),
		"/search": "400", "/search?what=x": "400 since is 1h, 24h or 7d", "/search?what=x&since=8d": "400", "/search?what=%20&since=1h": "400",
		"/search?since=1h&what=" + strings.Repeat("x", 601): "400", "/search?what=x&since=1h": "503 " + errAway.Error(),
	} {
		got := ask(p, t.Context(), path)
		if text := fmt.Sprintf("%d %s", got.Code, got.Body); !strings.HasPrefix(text, want) {
			t.Errorf("%.60s: %s", path, text)
		}
	}
	w.change(func(w *world) { w.away = nil })
	if got := ask(p, t.Context(), "/event/1"); got.Code != http.StatusNotFound || !strings.Contains(got.Body.String(), "message 1: it is no longer in the stream") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// TestOneSearchAtATime: while a search runs, the next one waits a little. Each ends with its
// request, or when it takes too long.
func TestOneSearchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		source := demo(1).source()
		source.Search = func(ctx context.Context, _ string, _ time.Time) (*page.Found, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			running--
			mu.Unlock()
			return nil, fmt.Errorf("read stream ZOOM: %w", ctx.Err())
		}
		p := page.New(source, zerolog.Nop())
		const path = "/search?what=x&since=1h"

		began := time.Now()
		if got := ask(p, t.Context(), path); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "longer than 15s") || time.Since(began) != 15*time.Second {
			t.Errorf("after %s: %d %s", time.Since(began), got.Code, got.Body)
		}
		first, leave := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() { ask(p, first, path) })
		synctest.Wait()
		began = time.Now()
		if got := ask(p, t.Context(), path); got.Code != http.StatusTooManyRequests || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %d %s", time.Since(began), got.Code, got.Body)
		}
		second, leaveSecond := context.WithCancel(t.Context())
		asking.Go(func() { ask(p, second, path) })
		synctest.Wait()
		leave()
		synctest.Wait()
		mu.Lock()
		if running != 1 || most != 1 {
			t.Errorf("%d searches run, and %d did at a time", running, most)
		}
		mu.Unlock()
		leaveSecond()
		asking.Wait()
	})
}

// TestEventsReadAtOnce: few events are read at once, since each makes NATS read and holds a body in
// memory.
func TestEventsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		source := demo(1).source()
		release := make(chan struct{})
		source.Message = func(context.Context, uint64) (*page.Stored, error) {
			running.Add(1)
			<-release
			return page.NewStored(1, "zoom.a", time.Now(), nil, nil), nil
		}
		p := page.New(source, zerolog.Nop())
		var answers [5]*httptest.ResponseRecorder
		var asking sync.WaitGroup
		for i := range answers {
			asking.Go(func() { answers[i] = ask(p, t.Context(), "/event/1") })
		}
		synctest.Wait()
		if n := running.Load(); n != 4 {
			t.Errorf("%d are read at once", n)
		}
		if got := ask(p, t.Context(), "/event/1"); got.Code != http.StatusTooManyRequests {
			t.Errorf("%d %s", got.Code, got.Body)
		}
		synctest.Wait() // the fifth has waited for as long
		close(release)
		asking.Wait()
		served := 0
		for _, got := range answers {
			if got.Code == http.StatusOK {
				served++
			}
		}
		if served != 4 {
			t.Errorf("%d were served", served)
		}
	})
}

// slowReader is a client that does not read the response.
type slowReader struct {
	*httptest.ResponseRecorder
	read chan struct{}
}

func (r slowReader) Write(b []byte) (int, error) {
	<-r.read
	return r.ResponseRecorder.Write(b)
}

// TestAnAnswerHoldsUpNoSearch: a response that is read slowly does not hold up the next search.
func TestAnAnswerHoldsUpNoSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := page.New(demo(1).source(), zerolog.Nop())
		const path = "/search?what=x&since=1h"
		slow := slowReader{httptest.NewRecorder(), make(chan struct{})}
		var asking sync.WaitGroup
		asking.Go(func() { p.ServeHTTP(slow, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)) })
		synctest.Wait()
		if got := ask(p, t.Context(), path); got.Code != http.StatusOK {
			t.Errorf("%d %s", got.Code, got.Body)
		}
		close(slow.read)
		asking.Wait()
	})
}
