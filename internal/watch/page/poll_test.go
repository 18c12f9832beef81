package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// TestViewersShareOnePollAndAreBounded: 100 viewers share their polls, and the next viewer is
// refused.
func TestViewersShareOnePollAndAreBounded(t *testing.T) {
	w := demo(1)
	s := serve(t, w, "0")
	var readers []*bufio.Reader
	for range 100 {
		response := watch(t, s.url)
		defer response.Body.Close()
		readers = append(readers, bufio.NewReader(response.Body))
	}
	refused := watch(t, s.url)
	refused.Body.Close()
	if refused.StatusCode != http.StatusServiceUnavailable || refused.Header.Get("Retry-After") == "" {
		t.Errorf("the viewer after the last: %s", refused.Status)
	}
	for _, r := range readers {
		if m := next(t, r); !m.Full || m.Overview == nil {
			t.Fatalf("a first message %+v", m)
		}
	}
	for _, r := range readers {
		for range 2 {
			next(t, r)
		}
	}
	w.change(func(w *world) {
		if w.polls > 20 {
			t.Errorf("%d polls for 100 viewers and 3 messages each", w.polls)
		}
	})
}

func TestASlowViewerSkipsMessages(t *testing.T) {
	w := demo(1)
	synctest.Test(t, func(t *testing.T) {
		p := page.New(w.source(), zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		slow, quick := newTaker(), newTaker()
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		wg.Go(func() { p.ServeHTTP(slow, httptest.NewRequestWithContext(ctx, "GET", "/events", nil)) })
		wg.Go(func() { p.ServeHTTP(quick, httptest.NewRequestWithContext(ctx, "GET", "/events", nil)) })
		quick.take(21) // meanwhile the slow one takes nothing, not even what comes before the first message
		slow.take(4)
		if n := len(slow.messages()); n > 4 {
			t.Errorf("the slow one has got %d messages", n)
		}
		full := 0
		for _, m := range slow.messages() {
			if m.Full {
				full++
			}
		}
		if full != 1 {
			t.Errorf("%d messages with history", full)
		}
		cancel()
		slow.free()
		quick.free()
		wg.Wait() // the bubble checks that nothing is left
	})
}

// taker is a response whose reader decides when to take something.
type taker struct {
	*httptest.ResponseRecorder
	wrote chan struct{}
	done  chan struct{}
}

func newTaker() *taker {
	return &taker{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
}

func (w *taker) Write(b []byte) (int, error) {
	select {
	case w.wrote <- struct{}{}:
	case <-w.done:
	}
	return w.ResponseRecorder.Write(b)
}

func (w *taker) take(n int) {
	for range n {
		<-w.wrote
	}
}

func (w *taker) free() { close(w.done) }

func (w *taker) messages() (all []message) {
	synctest.Wait()
	for text := range strings.SplitSeq(w.Body.String(), "\n\n") {
		if data, ok := strings.CutPrefix(text, "data: "); ok {
			var m message
			if json.Unmarshal([]byte(data), &m) == nil {
				all = append(all, m)
			}
		}
	}
	return all
}

func TestNobodyWatchesNobodyAsks(t *testing.T) {
	w := demo(1)
	synctest.Test(t, func(t *testing.T) {
		p := page.New(w.source(), zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		time.Sleep(time.Hour)
		if polls, _ := w.asked(); polls != 0 {
			t.Errorf("%d polls without a viewer", polls)
		}
		viewing, leave := context.WithTimeout(ctx, 10*time.Second)
		p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(viewing, "GET", "/events", nil))
		leave()
		polls, full := w.asked()
		if polls < 9 || polls > 12 || full != 1 {
			t.Errorf("%d polls in 10 s, %d of them with history", polls, full)
		}
		time.Sleep(time.Hour)
		if after, _ := w.asked(); after > polls+1 {
			t.Errorf("%d polls after the last viewer has left", after-polls)
		}
		cancel()
		wg.Wait()
		after := httptest.NewRecorder()
		p.ServeHTTP(after, httptest.NewRequest("GET", "/events", nil))
		if after.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d", after.Code)
		}
	})
}

func TestAHangingSourceIsLeftBehindAndHeartbeatsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := demo(1)
		source := w.source()
		source.Overview = func(ctx context.Context, _ bool) (*status.Overview, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("ask the replicas: %w", ctx.Err())
		}
		p := page.New(source, zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		out := httptest.NewRecorder()
		wg.Go(func() { p.ServeHTTP(out, httptest.NewRequestWithContext(ctx, "GET", "/events", nil)) })
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		if body := out.Body.String(); strings.Count(body, "deadline exceeded") < 5 || strings.Count(body, "\n:\n") != 4 || strings.Count(body, `"timeline":[{`) != 1 {
			t.Errorf("in a minute: %s", body)
		}
	})
}

// TestAViewerThatTakesNothingIsDropped: a viewer that has stopped reading is dropped; one that
// reads slowly is not.
func TestAViewerThatTakesNothingIsDropped(t *testing.T) {
	w := demo(40) // the first message has a megabyte
	synctest.Test(t, func(t *testing.T) {
		p := page.New(w.source(), zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		s := pipenet.Serve(p)
		defer func() { cancel(); s.Close(); wg.Wait() }()
		response, err := s.Client().Get("http://page/events")
		if err != nil {
			t.Fatal(err)
		}
		read := make([]byte, 20<<10) // per second: each write stays within its time-out
		for range 50 {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(response.Body, read); err != nil {
				t.Fatal("while it reads slowly:", err)
			}
		}
		time.Sleep(16 * time.Second)
		if n, err := io.CopyN(io.Discard, response.Body, 128<<10); err == nil {
			t.Errorf("after a pause of 16 s it gets %d bytes more", n)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	transport := &http.Transport{}
	s := serve(t, demo(1), "0")
	var bodies []io.Closer
	for range 5 {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"events", nil)
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, response.Body)
		next(t, bufio.NewReader(response.Body))
	}
	from := time.Now()
	s.stop() // while they watch
	if took := time.Since(from); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	for _, body := range bodies {
		body.Close()
	}
	transport.CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	if n := runtime.NumGoroutine(); n > before {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
	}
}
