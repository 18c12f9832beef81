package page_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// server serves a world's page on a port of 127.0.0.1 until stopped; 0 is any.
type server struct {
	url  string
	port string
	stop func()
}

func serve(t testing.TB, w *world, port string) *server {
	t.Helper()
	return serveSource(t, w.source(), port)
}

func serveSource(t testing.TB, source page.Source, port string) *server {
	t.Helper()
	return serveHandler(t, source, port, func(p http.Handler) http.Handler { return p })
}

// serveHandler serves a page behind the handler that before returns.
func serveHandler(t testing.TB, source page.Source, port string, before func(http.Handler) http.Handler) *server {
	t.Helper()
	var listener net.Listener
	var err error
	for range 50 { // a port that was just released may be in use for a moment
		if listener, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := page.New(source, zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	s := &http.Server{Handler: before(p)}
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	wg.Go(func() {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	stop := sync.OnceFunc(func() {
		cancel()
		ending, done := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer done()
		if err := s.Shutdown(ending); err != nil {
			t.Error("shutdown:", err)
		}
		wg.Wait()
	})
	t.Cleanup(stop)
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return &server{url: "http://" + listener.Addr().String() + "/", port: port, stop: stop}
}
