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
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streamName is the connector's default.
const streamName = "ZOOM"

// world is one measurement's: a nats-server, processes and a folder of their own.
type world struct {
	dir      string
	children []*child
	server   *child
	port     int // the server's
	url      string
	nc       *nats.Conn
	js       jetstream.JetStream
}

func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "zoomstream-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	if w.port, err = freePort(); err == nil {
		err = w.startServer(ctx)
	}
	if err == nil {
		w.nc, err = nats.Connect(w.url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	}
	if err == nil {
		w.js, err = jetstream.New(w.nc)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startServer starts the nats-server, also again after its end.
func (w *world) startServer(ctx context.Context) (err error) {
	w.server, err = w.role(ctx, roleServer, variablePort+"="+strconv.Itoa(w.port), variableStore+"="+filepath.Join(w.dir, "nats"))
	if err != nil {
		return err
	}
	r, err := w.server.next(ctx)
	w.url = r.Address
	return err
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
		if err := sleep(ctx, askEvery); err != nil {
			return 0, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
