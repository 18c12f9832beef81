// Package httpserver is the HTTP side of a running replica: metrics, health, status and the status
// page.
//
//	/             the status page; /events, /assets/ and /runbook/ are its parts
//	/event/       a whole event, if the options permit it: on loopback only, and neither for other
//	              web pages nor through a proxy
//	/search       a search for events, under the same conditions
//	/metrics      for Prometheus
//	/healthz      200 while this process's own loops run and waiting messages make progress;
//	              never depends on Zoom or NATS
//	/readyz       200 while this replica leads or could
//	/status       what this replica knows, as JSON (status.Replica)
//	/schemas/     what is published, as AsyncAPI and JSON Schemas
//	/debug/pprof/ for the Go tools: on loopback only, and neither for web pages nor through a proxy
//
// It answers GET and HEAD.
package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/guard"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message/schema"
)

const (
	readTimeout     = 10 * time.Second // for a request's headers
	writeTimeout    = 30 * time.Second // for a response
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	longestProfile  = 60 // seconds
)

// Options of a Server.
type Options struct {
	Address string // host:port
	// Elsewhere allows any other port if that one is taken.
	Elsewhere bool
	Registry  *prometheus.Registry
	Status    func(history bool) *status.Replica
	Ready     func() error // nil: ready; otherwise the reason why not
	Health    *Health
	// NoEvents is why whole events are not shown; nil: they are shown on loopback.
	NoEvents error
	Page     http.Handler // serves /, /assets/, /events, /runbook/, /event/ and /search
	Log      zerolog.Logger
}

// Server serves HTTP; call Run.
type Server struct {
	opt      Options
	listener net.Listener
	loopback bool
}

// Listen opens the address, so that a wrong one is an error at the start.
func Listen(opt Options) (*Server, error) {
	listener, err := net.Listen("tcp", opt.Address)
	if opt.Elsewhere && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(opt.Address) // net.Listen has parsed it already
		opt.Log.Warn().Str("code", "http.elsewhere").Str("address", opt.Address).Msg("something already listens there (another replica?); the status page uses another port")
		listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("ZOOMSTREAM_HTTP_ADDR: cannot listen on %s: %w; name another address, or off", opt.Address, err)
	}
	s := &Server{opt: opt, listener: listener, loopback: guard.Loopback(listener.Addr())}
	opt.Log.Info().Str("code", "http.listening").Str("url", s.URL()).Msg("status page, metrics and health")
	return s, nil
}

// URL returns the address of the status page.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/" }

// Run serves until ctx ends, and then gives requests in progress up to shutdownTimeout to finish.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: nil, // errors of clients are not ours
	}
	var ending sync.WaitGroup
	defer ending.Wait()
	stopped := make(chan struct{})
	defer close(stopped)
	ending.Go(func() {
		select {
		case <-ctx.Done():
		case <-stopped:
			return
		}
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close() //nolint:errcheck // it is over
		}
	})
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.URL(), err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opt.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	for _, path := range []string{"/healthz", "/livez", "/-/healthy"} {
		mux.HandleFunc("GET "+path, s.healthz)
	}
	for _, path := range []string{"/readyz", "/-/ready"} {
		mux.HandleFunc("GET "+path, s.readyz)
	}
	mux.HandleFunc("GET /status", s.status)
	mux.Handle("GET /schemas/", http.StripPrefix("/schemas/", http.FileServerFS(schema.Files)))
	mux.Handle("GET /{$}", s.opt.Page)
	mux.Handle("GET /assets/", s.opt.Page)
	mux.Handle("GET /events", s.opt.Page)
	mux.Handle("GET /runbook/", s.opt.Page)
	whole := guard.Handler(s.opt.Page, s.showsEvents, guard.ThisMachine, guard.OwnPage, guard.NoProxy)
	mux.Handle("GET /event/", whole)
	mux.Handle("GET /search", whole)
	if !s.loopback {
		return looksOnly(mux)
	}
	mux.Handle("/debug/pprof/", guard.Handler(profiles(), guard.NoPage, guard.NoProxy))
	return guard.Handler(looksOnly(mux), guard.ThisMachine)
}

// showsEvents returns an error unless only this machine can reach the address and its users may see
// events.
func (s *Server) showsEvents(*http.Request) error {
	if s.loopback {
		return s.opt.NoEvents
	}
	return errors.New("whole events hold personal data: they are shown on a loopback address only, and this replica listens on another one (ZOOMSTREAM_HTTP_ADDR)")
}

// profiles serves pprof.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound) // flags may hold secrets
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		for _, text := range query["seconds"] {
			if seconds, err := strconv.Atoi(text); err != nil || seconds < 1 || seconds > longestProfile {
				http.Error(w, fmt.Sprintf("seconds is a whole number from 1 to %d", longestProfile), http.StatusBadRequest)
				return
			}
		}
		r.URL.RawQuery = query.Encode() // so that pprof sees exactly what was checked
		mux.ServeHTTP(w, r)
	})
}

// looksOnly refuses all methods but GET and HEAD, and bounds the time of a response.
func looksOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
			return
		}
		limit := writeTimeout
		if strings.HasPrefix(r.URL.Path, "/debug/") {
			limit += longestProfile * time.Second
		}
		if r.URL.Path != "/events" { // /events lasts as long as somebody views it
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit)) //nolint:errcheck // then there is none
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if stuck := s.opt.Health.Stuck(time.Now()); len(stuck) > 0 {
		http.Error(w, "stuck: "+strings.Join(stuck, ", "), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.opt.Ready(); err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.Encode(s.opt.Status(r.URL.Query().Has("history"))) //nolint:errcheck // the client has gone
}
