// Package pipenet is an in-memory network for tests on fake time: an HTTP server and its clients,
// including WebSockets, within one testing/synctest bubble. Waiting on a real socket would stop the
// bubble's clock.
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

// Serve serves a handler until Close.
func Serve(handler http.Handler) *Server {
	s := &Server{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.http.Handler = handler
	s.client.Transport = &http.Transport{DialContext: s.dial, DisableKeepAlives: true}
	s.serving.Go(func() { s.http.Serve(listener{s}) }) //nolint:errcheck // ends by Close
	return s
}

// Client returns a client that reaches the server whatever the host in a URL.
func (s *Server) Client() *http.Client { return &s.client }

// Close stops the server. Hijacked connections, including WebSockets, are up to the handler.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	close(s.closed)
	s.http.Close() //nolint:errcheck // nothing to tell
	s.serving.Wait()
}

func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.Dial(ctx, "pipe")
}

// Dial opens a connection to the server, which sees the given remote address.
func (s *Server) Dial(ctx context.Context, from string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case s.conns <- named{server, addr(from)}:
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
func (l listener) Addr() net.Addr { return addr("pipe") }

// named is a connection with a given remote address.
type named struct {
	net.Conn
	from addr
}

func (n named) RemoteAddr() net.Addr { return n.from }

type addr string

func (addr) Network() string  { return "pipe" }
func (a addr) String() string { return string(a) }
