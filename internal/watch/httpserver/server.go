// Package httpserver is the HTTP side of a running replica: metrics, health, status and
// the status page.
//
//	/             the status page; /events, /assets/ and /runbook/ are its parts
//	/event/       a whole event, if the options permit that, on loopback only, and neither for other web pages nor by way of a proxy
//	/search       the same for those that are searched for
//	/metrics      for Prometheus
//	/healthz      200 while this process's own loops run and what waits to be stored gets on;
//	              never depends on Zoom or NATS
//	/readyz       200 while this replica leads or stands by
//	/status       what this replica knows, as JSON (status.Replica)
//	/schemas/     what is published, as AsyncAPI and JSON Schemas
//	/debug/pprof/ for the Go tools, on loopback only, and neither for web pages nor by way of a proxy
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
	readTimeout     = 10 * time.Second // of a request's headers
	writeTimeout    = 30 * time.Second // of an answer
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	longestProfile  = 60 // seconds
)

// Options of a Server.
type Options struct {
	Address string // host:port
	// Elsewhere says that any port will do if that one is taken.
	Elsewhere bool
	Registry  *prometheus.Registry
	Status    func(history bool) *status.Replica
	Ready     func() error // why not; nil: ready
	Health    *Health
	// NoEvents is why whole events are shown to nobody; nil: on loopback they are.
	NoEvents error
	Page     http.Handler // serves /, /assets/, /events, /runbook/, /event/ and /search
	Log      zerolog.Logger
}

// Server serves HTTP. Run does the work.
type Server struct {
	opt      Options
	listener net.Listener
	loopback bool
}

// Listen takes the address, so that a wrong one is known at the start.
func Listen(opt Options) (*Server, error) {
	listener, err := net.Listen("tcp", opt.Address)
	if opt.Elsewhere && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(opt.Address) // it was good enough for the first try
		opt.Log.Warn().Str("code", "http.elsewhere").Str("address", opt.Address).Msg("something listens there already (another replica?); the status page takes another port")
		listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("ZOOMSTREAM_HTTP_ADDR: cannot listen on %s: %w; name another address, or off", opt.Address, err)
	}
	s := &Server{opt: opt, listener: listener, loopback: guard.Loopback(listener.Addr())}
	opt.Log.Info().Str("code", "http.listening").Str("url", s.URL()).Msg("status page, metrics and health")
	return s, nil
}

// URL is where the status page is.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/" }

// Run serves until the context ends, and then a moment longer for what is under way.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: nil, // what clients do wrong is theirs
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

// showsEvents refuses everybody unless only this machine reaches the address, and its users
// may see events.
func (s *Server) showsEvents(*http.Request) error {
	if s.loopback {
		return s.opt.NoEvents
	}
	return errors.New("whole events hold personal data: they are shown on a loopback address only, and this replica listens on another one (ZOOMSTREAM_HTTP_ADDR)")
}

// profiles serves the Go tools.
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
		r.URL.RawQuery = query.Encode() // what was checked is what counts
		mux.ServeHTTP(w, r)
	})
}

// looksOnly refuses what is no question, and bounds the time of an answer.
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
		if r.URL.Path != "/events" { // which takes as long as somebody looks
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
