// Package pipenet is a network in memory for tests on fake time: an HTTP
// server and its clients, WebSockets included, within one testing/synctest
// bubble. There an idle wait for a real socket would stop the clock.
package pipenet

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Server serves a handler over pipes.
type Server struct {
	http    http.Server
	conns   chan net.Conn
	closed  chan struct{}
	serving sync.WaitGroup
	client  http.Client
}

// Serve starts serving a handler. Close ends it.
func Serve(handler http.Handler) *Server {
	s := &Server{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.http.Handler = handler
	s.client.Transport = &http.Transport{DialContext: s.dial, DisableKeepAlives: true}
	s.serving.Go(func() { s.http.Serve(listener{s}) }) //nolint:errcheck // ends by Close
	return s
}

// Client reaches the server, whatever the host in a URL.
func (s *Server) Client() *http.Client { return &s.client }

// Close ends the server. Hijacked connections, WebSockets among them, are the
// handler's to end.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	close(s.closed)
	s.http.Close() //nolint:errcheck // nothing to tell
	s.serving.Wait()
}

func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case s.conns <- server:
		return client, nil
	case <-s.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type listener struct{ *Server }

func (l listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error   { return nil }
func (l listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }
