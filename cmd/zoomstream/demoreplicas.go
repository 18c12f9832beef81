package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/sleep"
)

const (
	replicaRestart = 2 * time.Second // pause before a dead replica is restarted
	replicaYoung   = 5 * time.Second // one that fails sooner would only fail again
	replicaEnd     = 6 * time.Second // time after SIGTERM until it is killed
)

// replica is a replica in a separate process.
type replica struct {
	name    string
	dir     string // its data folder; the log is beside it
	page    string // address of its status page
	environ []string
	say     func(format string, a ...any)

	process atomic.Pointer[os.Process] // the current one
	killed  atomic.Bool                // killed on purpose
	cancel  context.CancelFunc
	ended   chan struct{}
}

// newReplicas creates the replicas, without this process's own settings in their environment.
func (d *demo) newReplicas(dir string) []*replica {
	own := slices.DeleteFunc(slices.Clone(d.environ), func(entry string) bool {
		return strings.HasPrefix(entry, "ZOOM") || strings.HasPrefix(entry, "NATS")
	})
	var replicas []*replica
	for i, name := range []string{"replica-1", "replica-2"} {
		r := &replica{name: name, dir: filepath.Join(dir, name), page: freeAddress(loopback(d.ports.pages[i])), say: d.say, ended: make(chan struct{})}
		r.environ = append(slices.Clip(own), "ZOOMSTREAM_REPLICA="+name, "ZOOMSTREAM_DATA_DIR="+r.dir,
			"ZOOM_CLIENT_ID="+demoClient, "ZOOM_CLIENT_SECRET="+demoSecret, "ZOOM_ACCOUNT_ID="+demoAccount,
			"ZOOM_OAUTH_URL=http://"+d.listener.Addr().String()+"/oauth/token",
			"ZOOM_WEBSOCKET_URL=ws://"+d.listener.Addr().String()+"/ws?subscriptionId="+demoSubscription,
			"NATS_URL_FILE="+d.nats.URLFile(), "ZOOMSTREAM_HTTP_ADDR="+r.page, "ZOOMSTREAM_PAGE_EVENTS=on", "ZOOMSTREAM_LOG_FORMAT=console")
		replicas = append(replicas, r)
	}
	return replicas
}

// freeAddress returns the wanted address, or another if it is taken, or "off". It is free only now:
// the replica opens it a moment later, and again at each restart.
func freeAddress(wanted string) string {
	for _, address := range []string{wanted, "127.0.0.1:0"} {
		if l, err := net.Listen("tcp", address); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return "off"
}

// launch keeps the replica running as one of the parts, until stop.
func (r *replica) launch(ctx context.Context, parts *errgroup.Group) {
	ctx, r.cancel = context.WithCancel(ctx)
	parts.Go(func() error {
		defer close(r.ended)
		return r.keep(ctx)
	})
}

func (r *replica) stop() {
	r.cancel()
	<-r.ended
}

// stopReplicas stops the leader last, so that no other replica takes over.
func (d *demo) stopReplicas() {
	leader := d.leader(context.Background())
	for _, r := range d.replicas {
		if r != leader {
			r.stop()
		}
	}
	if leader != nil {
		leader.stop()
	}
}

// keep acts as a supervisor: it restarts the process whenever it ends, until ctx ends. A process
// that fails right after its start is an error.
func (r *replica) keep(ctx context.Context) error {
	runtime.LockOSThread() // on Linux the child dies with the thread that started it
	defer runtime.UnlockOSThread()
	for {
		began := time.Now()
		err := r.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		exit, exited := errors.AsType[*exec.ExitError](err)
		if err != nil && (!exited || exit.ExitCode() > 0 && time.Since(began) < replicaYoung) {
			return fmt.Errorf("%s does not run: %w; the end of its log:\n%s", r.name, err, r.logEnd())
		}
		if !r.killed.Swap(false) {
			r.say("%s ended by itself: %s", r.name, cmp.Or(err, errors.New("exit status 0")))
		}
		if sleep.For(ctx, replicaRestart) != nil {
			return nil
		}
		r.say("%s is started again", r.name)
	}
}

// run runs the process once. When ctx ends, it sends SIGTERM.
func (r *replica) run(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(r.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, program, "run")
	cmd.Env, cmd.Stdout, cmd.Stderr = r.environ, log, log
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = replicaEnd
	if err := cmd.Start(); err != nil {
		return err
	}
	r.process.Store(cmd.Process)
	return cmd.Wait()
}

// crash kills the process without warning.
func (r *replica) crash() error {
	r.killed.Store(true)
	return r.process.Load().Kill()
}

func (r *replica) logEnd() string {
	text, _ := os.ReadFile(r.dir + ".log")
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// leader returns the replica that holds the lease; nil if none does.
func (d *demo) leader(ctx context.Context) *replica {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	bucket, err := d.js.KeyValue(ctx, "zoomstream")
	if err != nil {
		return nil
	}
	entry, err := bucket.Get(ctx, record.LeasePrefix+demoSubscription)
	if err != nil {
		return nil
	}
	var lease struct{ Replica string }
	json.Unmarshal(entry.Value(), &lease) //nolint:errcheck // then it is nobody's
	for _, r := range d.replicas {
		if r.name == lease.Replica {
			return r
		}
	}
	return nil
}

// settled reports whether every replica has been connected to NATS long enough for them to know
// each other.
func (d *demo) settled() bool {
	connections, err := d.nats.Server().Connz(nil)
	if err != nil {
		return false
	}
	known := 0
	for _, c := range connections.Conns {
		if strings.HasPrefix(c.Name, "zoomstream/replica-") && time.Since(c.Start) > 1500*time.Millisecond {
			known++
		}
	}
	return known == len(d.replicas)
}
