//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// statusWorld is a NATS with leases and states, and a replica that does nothing but answer.
type statusWorld struct {
	t   *testing.T
	srv *server.Server
	nc  *nats.Conn
	now time.Time
}

func newStatusWorld(t *testing.T) *statusWorld {
	w := &statusWorld{t: t, srv: natstest.Run(t, t.TempDir(), -1), now: time.Now().UTC()}
	var err error
	if w.nc, err = nats.Connect(w.srv.ClientURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nc.Close)
	js, err := jetstream.New(w.nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range []jetstream.KeyValueConfig{{Bucket: "zoomstream", LimitMarkerTTL: time.Second}, {Bucket: "zoomstream-state"}} {
		if _, err := js.CreateKeyValue(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *statusWorld) ago(d time.Duration) time.Time { return w.now.Add(-d - 30*time.Second) }

// put writes an entry into a bucket.
func (w *statusWorld) put(key, format string, args ...any) {
	w.t.Helper()
	if _, err := w.nc.Request("$KV."+key, fmt.Appendf(nil, format, args...), 5*time.Second); err != nil {
		w.t.Fatal(err)
	}
}

func (w *statusWorld) lead(subscription, replica string, since time.Time) {
	w.t.Helper()
	w.put("zoomstream.lease."+subscription, `{"replica":%q,"nonce":%q,"host":"node-1","pid":4711,"since":%q}`, replica, "nonce-"+replica, since.Format(time.RFC3339))
}

// serve has replica zoomstream-0 answer: it leads sub-1 in the given state, and stands by for
// sub-2.
func (w *statusWorld) serve(state string) {
	w.t.Helper()
	a := &zstatus.Replica{
		Replica: "zoomstream-0", Nonce: "nonce-zoomstream-0", Host: "node-0", PID: 4712, Version: "v1.2.3", Started: w.ago(26 * time.Hour),
		Now: w.now, Phase: zstatus.Ready, HTTP: "127.0.0.1:8480",
		Subscriptions: []zstatus.Subscription{
			{
				Subscription: "sub-1", Role: zstatus.Leader, Epoch: 1, Since: w.ago(2*time.Hour + 3*time.Minute), State: state,
				StateSince: w.ago(time.Hour), LastFrame: w.now, LastEvent: w.now, Events: 1000, Published: 990, Duplicates: 10, InFlight: 3, Rate: 12.34,
				Late:    zstatus.Quantiles{Count: 500, P50: 0.012, P99: 1.24},
				LastGap: &zstatus.Gap{From: w.ago(3 * time.Hour), To: w.ago(3 * time.Hour).Add(1200 * time.Millisecond), Duration: 1.2, Cause: "disconnected", Certain: true},
			},
			{Subscription: "sub-2", Role: zstatus.Standby},
		},
		Outbox: zstatus.Outbox{NATS: true, Stream: "ZOOM", Direct: true, InFlight: 3},
		Alarms: []zstatus.Alarm{{Alarm: "late", Subscription: "sub-1", Replica: "zoomstream-0", Since: w.ago(12 * time.Hour), Detail: "Zoom sends events \x1b[31m2h late"}},
	}
	stop, err := zstatus.Serve(w.nc, zstatus.ServiceOptions{
		Bucket: "zoomstream", Replica: a.Replica, Nonce: a.Nonce, Version: a.Version, Status: func(bool) *zstatus.Replica { return a },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stop)
}

// status runs the command to its end, and checks the exit code.
func (w *statusWorld) status(code int, args ...string) *program {
	w.t.Helper()
	p := start(w.t, []string{"NATS_URL=" + w.srv.ClientURL(), "TZ=UTC"}, append([]string{"status"}, args...)...)
	p.exit(code)
	return p
}

var statusTime = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`)

func withoutClock(text string) string { return statusTime.ReplaceAllString(text, "TIME") }

func TestStatusOfTrouble(t *testing.T) {
	t.Parallel()
	w := newStatusWorld(t)
	w.lead("sub-1", "zoomstream-0", w.ago(2*time.Hour))
	w.lead("sub-2", "zoomstream-1", w.ago(5*time.Hour))
	w.put("zoomstream-state.state.sub-2", `{"state":"connected","replica":"zoomstream-1","nonce":"nonce-zoomstream-1","epoch":2,"since":%q,"last_frame":%q}`,
		w.ago(50*time.Hour).Format(time.RFC3339), w.ago(50*time.Hour).Format(time.RFC3339)) // another day, so that it is shown
	w.serve("connected")

	p := w.status(exitFailure)
	golden.Compare(t, "status-trouble.txt", withoutClock(p.stdout.String()))
	if got := p.stderr.String(); got != "zoomstream: 1 of 2 subscriptions without a connected leader: sub-2\n" {
		t.Errorf("the error is %q", got)
	}
	p = w.status(exitFailure, "--json")
	golden.Compare(t, "status-trouble.json", withoutClock(p.stdout.String()))
}

func TestStatusOfGoodHealth(t *testing.T) {
	t.Parallel()
	w := newStatusWorld(t)
	w.lead("sub-1", "zoomstream-0", w.ago(2*time.Hour))
	w.lead("sub-2", "zoomstream-0", w.ago(2*time.Hour))
	stop, err := zstatus.Serve(w.nc, zstatus.ServiceOptions{
		Bucket: "zoomstream", Replica: "zoomstream-0", Nonce: "nonce-zoomstream-0", Version: "dev", Status: func(bool) *zstatus.Replica {
			return &zstatus.Replica{Phase: zstatus.Ready, Now: time.Now(), Subscriptions: []zstatus.Subscription{
				{Subscription: "sub-1", Role: zstatus.Leader, State: "connected"}, {Subscription: "sub-2", Role: zstatus.Leader, State: "connected"}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	p := w.status(exitOK)
	if text := p.stdout.String(); !strings.Contains(text, ": 2 subscriptions connected\n") || p.stderr.String() != "" {
		t.Errorf("it prints %s%s", text, &p.stderr)
	}
}

// TestStatusNotConnected: a leader that answers but is not connected is a failure, too.
func TestStatusNotConnected(t *testing.T) {
	t.Parallel()
	w := newStatusWorld(t)
	w.serve("disconnected")
	if got := w.status(exitFailure).stdout.String(); !strings.Contains(got, "sub-1: disconnected for 1h") {
		t.Errorf("it prints %s", got)
	}
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	w := newStatusWorld(t)
	w.lead("sub-1", "zoomstream-0", w.ago(time.Hour))
	p := w.status(exitFailure)
	if out, got := p.stdout.String(), p.stderr.String(); !strings.Contains(out, "zoomstream-0 holds the lease and does not answer") || !strings.Contains(got, "no replica answers") {
		t.Errorf("it prints %s%s", out, got)
	}
	p = w.status(exitFailure, "--bucket=other")
	if got := p.stderr.String(); !strings.Contains(got, "zoomstream has never run on this NATS with ZOOMSTREAM_BUCKET=other, or it is just starting") || p.stdout.String() != "" {
		t.Errorf("it prints %s%s", &p.stdout, got)
	}
	w.status(exitUsage, "--interval=0s")
	w.status(exitUsage, "--no-such-flag")
	w.status(exitConfig, "--bucket=a.b")
	if help := w.status(exitOK, "--help").stdout.String(); !strings.Contains(help, "Exit code 0: replicas answer") {
		t.Errorf("the help does not tell the exit codes:\n%s", help)
	}
}

// TestStatusOfUnused: a subscription that no replica is set up for any more is no failure.
func TestStatusOfUnused(t *testing.T) {
	t.Parallel()
	w := newStatusWorld(t)
	w.put("zoomstream-state.state.sub-0", `{"state":"disconnected","replica":"zoomstream-1","nonce":"n","since":"2026-11-01T00:00:00Z","cause":"start"}`)
	stop, err := zstatus.Serve(w.nc, zstatus.ServiceOptions{
		Bucket: "zoomstream", Replica: "a", Nonce: "a", Version: "dev", Status: func(bool) *zstatus.Replica {
			return &zstatus.Replica{Now: time.Now(), Subscriptions: []zstatus.Subscription{{Subscription: "sub-1", Role: zstatus.Leader, State: "connected"}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if text := w.status(exitOK).stdout.String(); !strings.Contains(text, ": 1 subscription connected\n") || !strings.Contains(text, "\nsub-0         none    -      unused: no replica is set up for it\n") {
		t.Errorf("it prints %s", text)
	}
	// Removed as the manual says.
	if _, err := w.nc.RequestMsg(&nats.Msg{Subject: "$KV.zoomstream-state.state.sub-0", Header: nats.Header{"KV-Operation": {"DEL"}}}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if text := w.status(exitOK).stdout.String(); strings.Contains(text, "sub-0") {
		t.Errorf("it prints %s", text)
	}
}

func TestStatusFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text          string
		rows, columns int
		want          string
	}{
		{"a\nb\n", 3, 10, "a\nb\n"},
		{"a\nb\nc\n", 3, 10, "a\n… and 2 more lines\n"},
		{"a\n01234567890\nc\n", 5, 10, "a\n01234567890\nc\n"},
		{"a\n01234567890\nc\n", 4, 10, "a\n… and 2 more lines\n"},
		{"é234567890\nb\n", 3, 10, "é234567890\nb\n"},
		{"a\n\nb\nc\n", 4, 10, "a\n\n… and 2 more lines\n"},
		{"a\nb\n", 1, 10, "… and 2 more lines\n"},
	} {
		if got := string(fit([]byte(c.text), c.rows, c.columns)); got != c.want {
			t.Errorf("%q in %d rows of %d: %q, want %q", c.text, c.rows, c.columns, got, c.want)
		}
	}
}

// TestStatusWatch: status --watch continues through trouble until a signal comes. The exit code is
// then 0.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--json"}} {
		w := newStatusWorld(t)
		p := start(t, []string{"NATS_URL=" + w.srv.ClientURL()}, append([]string{"status", "--watch", "--interval=20ms"}, args...)...)
		p.says(&p.stdout, "zoomstream")
		w.lead("sub-1", "zoomstream-0", w.ago(time.Hour))
		w.serve("connected")
		p.says(&p.stdout, "12.3")
		p.signal(os.Interrupt)
		p.exit(exitOK)
		for line := range strings.Lines(p.stdout.String()) {
			if len(args) == 1 && !json.Valid([]byte(line)) {
				t.Errorf("a line is no JSON: %s", line)
			}
		}
		if text := p.stdout.String(); len(args) == 0 && (strings.Count(text, "--- 20") < 2 || strings.ContainsRune(text, '\x1b')) {
			t.Errorf("it prints %q", text)
		}
	}
}

// TestStatusOfReplicas: of two real replicas, one leads and one stands by. After the leader is
// killed, the other one leads.
func TestStatusOfReplicas(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, environ := startZoom(t)
	environ = append(environ, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_HTTP_ADDR=off")
	replicas := make(map[string]*program)
	for _, name := range []string{"a", "b"} {
		replicas[name] = start(t, append(environ, "ZOOMSTREAM_REPLICA="+name), "run")
	}
	await(t, sim)
	awaitStatus := func(what string, good func(*zstatus.Overview) bool) *zstatus.Overview {
		t.Helper()
		var p *program
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			p = start(t, []string{"NATS_URL=" + nats.ClientURL()}, "status", "--json")
			<-p.exited
			var o zstatus.Overview
			if p.cmd.ProcessState.ExitCode() == exitOK && json.Unmarshal([]byte(p.stdout.String()), &o) == nil && good(&o) {
				return &o
			}
		}
		t.Fatalf("never: %s; the last status:\n%s%s", what, &p.stdout, &p.stderr)
		return nil
	}
	o := awaitStatus("one leads, one stands by", func(o *zstatus.Overview) bool {
		return len(o.Subscriptions) == 1 && o.Subscriptions[0].Connected() && len(o.Subscriptions[0].Standbys) == 1
	})
	l := o.Subscriptions[0]
	if l.Subscription.Subscription != testSubscription || l.Leader == l.Standbys[0] || l.From != l.Leader || len(o.Replicas) != 2 || o.Stream != "ZOOM" {
		t.Errorf("the status is %+v", o)
	}
	for _, m := range o.Replicas {
		if !m.Answered || m.Phase != zstatus.Ready || m.PID != replicas[m.Replica].cmd.Process.Pid || !m.Outbox.NATS {
			t.Errorf("replica %s is %+v", m.Replica, m)
		}
	}
	replicas[l.Leader].signal(os.Kill)
	standby := l.Standbys[0]
	awaitStatus("the standby leads", func(o *zstatus.Overview) bool {
		return o.Subscriptions[0].Leader == standby && o.Subscriptions[0].Connected() && o.Subscriptions[0].Epoch > l.Epoch
	})
	replicas[standby].signal(os.Interrupt)
	replicas[standby].exit(exitOK)
	p := start(t, []string{"NATS_URL=" + nats.ClientURL()}, "status")
	p.exit(exitFailure)
	if text := p.stdout.String(); !strings.Contains(text, "no replica holds the lease") {
		t.Errorf("after the end of all, it prints %s", text)
	}
}

// TestStatusOfOneTakenOut: once a real replica is set up for another subscription, the first one is
// unused and no failure.
func TestStatusOfOneTakenOut(t *testing.T) {
	t.Parallel()
	url := "NATS_URL=" + startNATS(t).ClientURL()
	sim, environ := startZoom(t)
	environ = append(environ, url, "ZOOMSTREAM_HTTP_ADDR=off")
	first := start(t, environ, "run")
	await(t, sim)
	first.signal(os.Interrupt)
	first.exit(exitOK)
	for i, setting := range environ {
		if strings.HasPrefix(setting, "ZOOM_WEBSOCKET_URL=") {
			environ[i] = strings.ReplaceAll(setting, testSubscription, "another")
		}
	}
	start(t, environ, "run")
	text := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		p := start(t, []string{url}, "status")
		<-p.exited
		if text = p.stdout.String(); p.cmd.ProcessState.ExitCode() == exitOK && strings.Contains(text, testSubscription+" ") &&
			strings.Contains(text, "unused: no replica is set up for it") {
			return
		}
	}
	t.Errorf("it prints %s", text)
}
