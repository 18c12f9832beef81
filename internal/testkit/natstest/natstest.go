// Package natstest starts real nats-servers for tests.
package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Run starts a server with JetStream on 127.0.0.1 that ends with the test. It
// keeps its data in dir; port -1 takes one of its own, see [Port].
func Run(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	return Start(t, &server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir})
}

// Start starts a server with the given options that ends with the test.
func Start(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	options.NoSigs, options.NoLog = true, true
	if options.Port == -1 {
		options.Port = Port(t)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	t.Cleanup(func() { Stop(s) })
	return s
}

// Stop ends a server and waits until its files are closed.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
