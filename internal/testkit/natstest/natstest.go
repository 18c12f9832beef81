// Package natstest starts real nats-servers for tests.
package natstest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Run starts a server with JetStream on 127.0.0.1 that ends with the test. It stores data in dir.
// Port -1 uses one from [Port].
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
	keepStreamsFolder(t, s)
	return s
}

// keepStreamsFolder adds a folder without a stream to those of the default account. The server
// removes an account's folder of streams a moment after the last stream; a stream that a test
// creates at that time fails.
func keepStreamsFolder(t testing.TB, s *server.Server) {
	t.Helper()
	if !s.JetStreamEnabled() {
		return
	}
	folder := filepath.Join(s.JetStreamConfig().StoreDir, s.GlobalAccount().Name, "streams", "empty")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
}

// UsersConf reads a nats.conf and enables its users, all with the same password. A server with
// these options uses a port and a folder of its own.
func UsersConf(t testing.TB, path, password string) *server.Options {
	t.Helper()
	conf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conf = regexp.MustCompile(`(?m)^#:`).ReplaceAll(conf, nil)
	conf = regexp.MustCompile(`\$NATS_\w+_PASSWORD`).ReplaceAll(conf, []byte(password)) // the environment is shared by all tests
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.Port, options.StoreDir = -1, t.TempDir()
	return options
}

// JetStream returns JetStream on a connection, as [jetstream.New] does, but waits for as long as a
// busy disk may take to create a stream.
func JetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Stop stops a server and waits until its files are closed.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
