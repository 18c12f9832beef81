package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Environment of the nats-server.
const (
	variablePort   = "BENCH_PORT"
	variableStore  = "BENCH_STORE"
	variableRoute  = "BENCH_ROUTE"  // its port in the cluster; empty: no cluster
	variableRoutes = "BENCH_ROUTES" // URLs of the cluster's servers
)

// runServer runs a nats-server with JetStream on files and otherwise default settings: it syncs
// files after a minute or two, as most do.
func runServer(ctx context.Context) error {
	port, err := strconv.Atoi(os.Getenv(variablePort))
	if err != nil {
		return err
	}
	options := &server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: os.Getenv(variableStore), MaxPayload: 8 << 20,
		NoSigs: true, NoLog: true,
	}
	if route := os.Getenv(variableRoute); route != "" {
		options.ServerName = "s" + route
		options.Cluster.Name, options.Cluster.Host = "bench", options.Host
		if options.Cluster.Port, err = strconv.Atoi(route); err != nil {
			return err
		}
		options.Routes = server.RoutesFromStr(os.Getenv(variableRoutes))
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("nats-server is not ready")
	}
	if err := writeReport(report{Address: s.ClientURL(), Connected: time.Now().UnixNano()}); err != nil {
		return err
	}
	parent := make(chan struct{})
	go func() { // ends with the process
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // the end is all that counts
		close(parent)
	}()
	select {
	case <-parent:
	case <-ctx.Done():
	}
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
