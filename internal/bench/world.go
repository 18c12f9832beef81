package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

// streamName is zoomstream's default.
const streamName = "ZOOM"

// world is the environment of one measurement: a nats-server or a cluster, processes and a folder
// of its own.
type world struct {
	dir      string
	children []*child
	servers  []*child
	ports    []int  // of the servers
	routes   []int  // the servers' ports in the cluster; none: a single server
	url      string // of the first server
	nc       *nats.Conn
	js       jetstream.JetStream
}

// newWorld starts the given number of nats-servers, in a cluster if there are several.
func newWorld(ctx context.Context, servers int) (*world, error) {
	dir, err := os.MkdirTemp("", "zoomstream-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, servers: make([]*child, servers)}
	if err := w.start(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) start(ctx context.Context) error {
	ports, err := freePorts(2 * len(w.servers))
	if err != nil {
		return err
	}
	w.ports = ports[:len(w.servers)]
	if len(w.servers) > 1 {
		w.routes = ports[len(w.servers):]
	}
	if err := w.startServers(ctx); err != nil {
		return err
	}
	if w.nc, err = nats.Connect(w.url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond)); err != nil {
		return err
	}
	if w.js, err = jetstream.New(w.nc); err != nil {
		return err
	}
	return w.awaitCluster(ctx)
}

// startServers starts the nats-servers, also after a stop.
func (w *world) startServers(ctx context.Context) error {
	for i, port := range w.ports {
		environ := []string{variablePort + "=" + strconv.Itoa(port), variableStore + "=" + filepath.Join(w.dir, "nats", strconv.Itoa(i))}
		if w.routes != nil {
			environ = append(environ, variableRoute+"="+strconv.Itoa(w.routes[i]), variableRoutes+"="+w.routeURLs())
		}
		server, err := w.role(ctx, roleServer, environ...)
		if err != nil {
			return err
		}
		w.servers[i] = server
		r, err := server.next(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			w.url = r.Address
		}
	}
	return nil
}

func (w *world) routeURLs() string {
	var all []string
	for _, port := range w.routes {
		all = append(all, "nats://127.0.0.1:"+strconv.Itoa(port))
	}
	return strings.Join(all, ",")
}

// awaitCluster waits until a stream can have a replica on each server.
func (w *world) awaitCluster(ctx context.Context) error {
	if w.routes == nil {
		return nil
	}
	const probe = "PROBE"
	for began := time.Now(); ; {
		_, err := w.js.CreateStream(ctx, jetstream.StreamConfig{Name: probe, Replicas: len(w.servers)})
		if err == nil {
			return w.js.DeleteStream(ctx, probe)
		}
		if time.Since(began) > giveUp {
			return fmt.Errorf("the cluster does not become ready: %w", err)
		}
		if err := sleep.For(ctx, 10*askEvery); err != nil {
			return err
		}
	}
}

// stopServers stops the nats-servers with SIGTERM.
func (w *world) stopServers() {
	for _, server := range w.servers {
		server.stop(syscall.SIGTERM)
	}
}

// serverCPU returns the CPU time of all nats-servers.
func (w *world) serverCPU() (sum time.Duration, err error) {
	for _, server := range w.servers {
		cpu, err := server.cpu()
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

func (w *world) role(ctx context.Context, role string, environ ...string) (*child, error) {
	return w.keep(startRole(ctx, role, w.dir, environ...))
}

// keep registers a child to be stopped with the world.
func (w *world) keep(c *child, err error) (*child, error) {
	if err == nil {
		w.children = append(w.children, c)
	}
	return c, err
}

func (w *world) close() {
	if w.nc != nil {
		w.nc.Close()
	}
	for _, c := range w.children {
		c.stop(syscall.SIGKILL)
	}
	os.RemoveAll(w.dir) //nolint:errcheck // a temporary folder
}

// freePorts returns different ports below the kernel's range for client ports: a client that keeps
// dialing a dead server on a port in that range may in the end connect to itself.
func freePorts(n int) (ports []int, err error) {
	for tries := 0; len(ports) < n; tries++ {
		if tries == 100*n {
			return nil, fmt.Errorf("there are no %d free ports from 20000 to 29999", n)
		}
		port := 20_000 + rand.IntN(10_000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			defer listener.Close() // not before all are chosen
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// stored returns how many events are in the stream.
func (w *world) stored(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := w.js.Stream(ctx, streamName)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, err
	}
	return int(info.State.Subjects[subject]), nil
}

// The stream is polled seldom, since that costs the server time. When an event was stored is read
// from the stream afterwards.
const (
	askEvery = 20 * time.Millisecond
	giveUp   = 15 * time.Second // if no further event is stored
)

// awaitStored waits until n events are stored, or none has been for giveUp, and returns how many
// are.
func (w *world) awaitStored(ctx context.Context, n int) (int, error) {
	have, changed := 0, time.Now()
	for {
		now, err := w.stored(ctx)
		if err != nil {
			return 0, fmt.Errorf("asking the stream: %w", err)
		}
		if now >= n || time.Since(changed) > giveUp {
			return now, nil
		}
		if now != have {
			have, changed = now, time.Now()
		}
		if err := sleep.For(ctx, askEvery); err != nil {
			return 0, err
		}
	}
}
