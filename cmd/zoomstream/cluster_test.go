package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestCluster kills servers of a NATS cluster: each time the one that leads the stream of the
// leases or of the events. The connection to Zoom stays and nothing is lost. An event that a dying
// server drops is stored at most one window later.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	f := newFleet(t, c.url, testSubscription)
	f.settings = append(f.settings, "ZOOMSTREAM_STREAM_REPLICAS=3")
	f.add()
	f.add()
	f.flow(200)
	f.late = 1024 // the bound that docs/guarantees.md states for a cluster: one window of messages in flight
	for _, stream := range []string{"KV_zoomstream", "ZOOM"} {
		c.settle(f.js)
		f.flows(100)
		killed := time.Now()
		name := c.leader(f.js, stream)
		c.kill(name)
		f.stores()
		t.Logf("the leader of %s, %s, was killed; the next event was stored after %v", stream, name, time.Since(killed).Round(10*time.Millisecond))
		c.start(name)
	}
	c.settle(f.js)
	f.flows(100)
	f.finish()

	var pause time.Duration
	e := f.unmoved()
	for i, s := range e.stored[1:] {
		pause = max(pause, s.at.Sub(e.stored[i].at))
	}
	t.Logf("%d events; the longest pause in publishing: %v", len(e.stored), pause.Round(time.Millisecond))
}

// stores waits until an event that Zoom wrote after the call is stored.
func (f *fleet) stores() {
	f.t.Helper()
	written := f.sim.Summary("").Written
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if info, err := streamInfo(f.t, f.js, "ZOOM"); err == nil && int64(info.State.Msgs) > written {
			return
		}
	}
	f.t.Fatal("no event is stored any more")
}

func streamInfo(t *testing.T, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// cluster is three nats-servers, each in a process of its own.
type cluster struct {
	t       *testing.T
	binary  string
	args    map[string][]string // by server
	dirs    map[string]string
	running map[string]*exec.Cmd
	url     string // of all servers
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, binary: filepath.Join(t.TempDir(), "nats-server"), args: make(map[string][]string), dirs: make(map[string]string), running: make(map[string]*exec.Cmd)}
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	conf, err := filepath.Abs("../../nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for range 6 {
		ports = append(ports, strconv.Itoa(natstest.Port(t)))
	}
	var urls, routes []string
	for n := range 3 {
		urls = append(urls, "nats://127.0.0.1:"+ports[n])
		routes = append(routes, "nats://127.0.0.1:"+ports[n+3])
	}
	for n := range 3 {
		name := fmt.Sprintf("n%d", n+1)
		c.args[name] = []string{
			"-c", conf, "-n", name, "-a", "127.0.0.1", "-p", ports[n],
			"--cluster_name", "test", "--cluster", routes[n], "--routes", strings.Join(routes, ","),
		}
		c.dirs[name] = t.TempDir() // nats.conf stores its data below the working folder
		c.start(name)
	}
	t.Cleanup(func() {
		for name := range c.running {
			c.kill(name)
		}
	})
	c.url = strings.Join(urls, ",")
	c.await(urls)
	return c
}

func (c *cluster) await(urls []string) {
	c.t.Helper()
	for _, url := range urls {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatal(err)
			}
		}
	}
}

func (c *cluster) start(name string) {
	c.t.Helper()
	cmd := exec.Command(c.binary, c.args[name]...)
	cmd.Dir = c.dirs[name]
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.running[name] = cmd
}

// kill ends a server like kill -9.
func (c *cluster) kill(name string) {
	c.running[name].Process.Kill()
	c.running[name].Wait() //nolint:errcheck // it was killed
	delete(c.running, name)
}

func (c *cluster) leader(js jetstream.JetStream, stream string) string {
	c.t.Helper()
	info, err := streamInfo(c.t, js, stream)
	if err != nil || info.Cluster == nil || c.running[info.Cluster.Leader] == nil {
		c.t.Fatalf("who leads %s: %v", stream, err)
	}
	return info.Cluster.Leader
}

// settle waits until every server is up to date with each stream.
func (c *cluster) settle(js jetstream.JetStream) {
	c.t.Helper()
	streams := []string{"ZOOM", "KV_zoomstream", "KV_zoomstream-state"}
	began := time.Now()
	for _, stream := range streams {
		for !current(c.t, js, stream) {
			if time.Since(began) > 30*time.Second {
				c.t.Fatalf("the cluster has not recovered: %s", stream)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func current(t *testing.T, js jetstream.JetStream, stream string) bool {
	info, err := streamInfo(t, js, stream)
	if err != nil || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
		return false
	}
	for _, peer := range info.Cluster.Replicas {
		if !peer.Current || peer.Offline {
			return false
		}
	}
	return true
}
