package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/guard"
)

// metricsServer serves /metrics for a command that is no replica.
type metricsServer struct {
	registry *prometheus.Registry
	server   *http.Server
	serving  sync.WaitGroup
}

// listenForMetrics serves the metrics until close is called.
func listenForMetrics(address string, log zerolog.Logger) (*metricsServer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: cannot listen on %s: %w; name another address", address, err)
	}
	m := &metricsServer{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	m.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	if guard.Loopback(listener.Addr()) {
		m.server.Handler = guard.Handler(mux, guard.ThisMachine)
	}
	m.serving.Go(func() { m.server.Serve(listener) }) //nolint:errcheck // it ends with close
	log.Info().Str("code", "http.listening").Str("url", "http://"+listener.Addr().String()+"/metrics").Msg("metrics")
	return m, nil
}

func (m *metricsServer) close() {
	m.server.Close() //nolint:errcheck // nobody waits for an answer any more
	m.serving.Wait()
}
