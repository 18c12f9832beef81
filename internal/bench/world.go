package main

import (
	"context"
	"errors"
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

// streamName is the connector's default.
const streamName = "ZOOM"

// world is one measurement's: a nats-server or a cluster, processes and a folder of their own.
type world struct {
	dir      string
	children []*child
	servers  []*child
	ports    []int  // the servers'
	routes   []int  // their ports in the cluster; none: there is one server
	url      string // the first server's
	nc       *nats.Conn
	js       jetstream.JetStream
}

// newWorld has so many nats-servers, in a cluster if they are several.
func newWorld(ctx context.Context, servers int) (*world, error) {
	dir, err := os.MkdirTemp("", "zoomstream-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, ports: make([]int, servers), servers: make([]*child, servers)}
	if err := w.start(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) start(ctx context.Context) (err error) {
	if len(w.ports) > 1 {
		w.routes = make([]int, len(w.ports))
	}
	for _, ports := range [][]int{w.ports, w.routes} {
		for i := range ports {
			if ports[i], err = freePort(); err != nil {
				return err
			}
		}
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

// startServers starts the nats-servers, also again after their end.
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

// awaitCluster waits until a stream can be on all servers.
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

// stopServers ends the nats-servers in an orderly way.
func (w *world) stopServers() {
	for _, server := range w.servers {
		server.stop(syscall.SIGTERM)
	}
}

// serverCPU is what all nats-servers have used.
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

// keep has a child end with the world.
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

// freePort finds a port that no client is given by chance: below those that the
// kernel chooses from, as a client that dials a dead server there again and
// again may in the end connect to itself.
func freePort() (int, error) {
	for range 100 {
		port := 20_000 + rand.IntN(10_000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port from 20000 to 29999")
}

// stored is how many events are in the stream.
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

// The stream is asked seldom, since that costs the server time: when an event
// was stored is read from the stream afterwards.
const (
	askEvery = 20 * time.Millisecond
	giveUp   = 15 * time.Second // without another event
)

// awaitStored waits until n events are stored, or no more are for a while, and returns
// how many are.
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
