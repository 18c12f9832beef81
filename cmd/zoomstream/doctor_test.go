//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/tools/doctor"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// examine runs doctor to its end. It fails the test if the exit code differs, or if a secret is
// shown.
func examine(t *testing.T, environ []string, code int, args ...string) *program {
	t.Helper()
	p := start(t, environ, append([]string{"doctor"}, args...)...)
	p.exit(code)
	if text := p.stdout.String() + p.stderr.String(); strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
		t.Errorf("a secret is in:\n%s", text)
	}
	return p
}

// TestDoctorExitCodes: the exit code tells success (also with warnings), failure, wrong settings
// and wrong usage apart.
func TestDoctorExitCodes(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+nats.ClientURL())

	p := examine(t, settings, exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "pass  subscription.heartbeat") || !strings.HasSuffix(text, " passed, 1 skipped)\n") || p.stderr.String() != "" {
		t.Errorf("%s%s", text, &p.stderr)
	}
	p = examine(t, append(settings, "ZOOMSTREAM_SPOOL_MAX=1000TiB"), exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "warn  disk.space") || !strings.Contains(text, "\n      fix: ") || !strings.Contains(text, "doctor: warn (") {
		t.Error(text)
	}
	p = examine(t, append(settings, "NATS_URL=nats://127.0.0.1:1"), exitFailure)
	if text := p.stdout.String(); !strings.Contains(text, "FAIL  nats.server") || strings.Contains(text, "doctor: fail") {
		t.Error(text)
	}
	if text := p.stderr.String(); !strings.HasPrefix(text, "zoomstream: doctor: fail (") || strings.Count(text, "\n") != 1 {
		t.Error(text)
	}
	examine(t, append(settings, "ZOOM_CLIENT_SECRET=wrong-must-not-leak"), exitConfig)
	examine(t, append(settings, "ZOOMSTREAM_LEASE_TTL=abc"), exitConfig)
	examine(t, nil, exitConfig)
	examine(t, settings, exitUsage, "--no-such-flag")
	if n := sim.Summary(testSubscription).Sockets; n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestDoctorJSON compares the whole output, except for what differs from run to run.
func TestDoctorJSON(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	_, settings := startZoom(t)
	p := examine(t, append(settings, "NATS_URL="+nats.ClientURL()), exitOK, "--json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil || report.Result != doctor.Pass || len(report.Checks) == 0 {
		t.Fatalf("%v\n%s", err, &p.stdout)
	}
	golden.Compare(t, "doctor.json", steady(p.stdout.String()))
	p = examine(t, append(settings, "NATS_URL=nats://127.0.0.1:1", "ZOOM_CLIENT_SECRET=wrong"), exitConfig)
	golden.Compare(t, "doctor.txt", steady(p.stdout.String()))
}

// steady replaces durations, ports, disk sizes and versions in a text.
func steady(text string) string {
	for pattern, with := range map[string]string{
		`\b[0-9.]+(µs|ms)\b`:               "<time>",
		`\b0s\b`:                           "<time>",
		`127\.0\.0\.1:[0-9]{2,}`:           "127.0.0.1:<port>",
		`[0-9.]+ [KMGT]iB free`:            "<size> free",
		`version 2\.[0-9.]+[0-9A-Za-z.-]*`: "version <version>",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	return text
}

// TestDoctorLeavesTheLeaderAlone: doctor does not displace a connected replica under load, nor
// connect right after the replica was killed.
func TestDoctorLeavesTheLeaderAlone(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_HTTP_ADDR=off")
	leader := start(t, append(settings, "ZOOMSTREAM_REPLICA=the-leader"), "run")
	await(t, sim)
	leader.says(&leader.stderr, "connected to Zoom")
	const emitted = 50
	for n := range 5 {
		for range emitted / 5 {
			sim.Emit(testSubscription, zoomsim.Event{Name: "meeting.started"})
		}
		args := []string{}
		if n%2 == 1 {
			args = []string{"--connect"}
		}
		p := examine(t, settings, exitOK, args...)
		if text := p.stdout.String(); !strings.Contains(text, "replica the-leader holds the lease") ||
			!strings.Contains(text, "not connecting: that would close the connection of replica the-leader") {
			t.Errorf("%s", text)
		}
	}
	bodies(t, nats.ClientURL(), emitted)
	if sum := sim.Summary(testSubscription); sum.Sockets != 1 || sum.Live != 1 || sum.Written != emitted {
		t.Errorf("the leader's connection was not left alone: %+v", sum)
	}

	leader.signal(syscall.SIGKILL) // to others it may only be cut off from NATS
	<-leader.exited
	p := examine(t, settings, exitOK)
	if !strings.Contains(p.stdout.String(), "not connecting") || sim.Summary(testSubscription).Sockets != 1 {
		t.Errorf("it connects right after a crash:\n%s", &p.stdout)
	}
}

// TestDoctorWithAnotherBucket: doctor does not displace a leader whose lease it cannot see.
func TestDoctorWithAnotherBucket(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_HTTP_ADDR=off")
	leader := start(t, append(settings, "ZOOMSTREAM_REPLICA=the-leader"), "run")
	await(t, sim)
	leader.says(&leader.stderr, "connected to Zoom")
	for _, mistake := range [][]string{{"ZOOMSTREAM_BUCKET=zoomstraem"}, {"ZOOMSTREAM_BUCKET=zoomstraem", "ZOOMSTREAM_STREAM=MOOZ", "ZOOMSTREAM_PREFIX=mooz"}} {
		p := examine(t, append(settings, mistake...), exitOK)
		text := p.stdout.String()
		for _, wanted := range []string{"there is no bucket zoomstraem, but ", "replica the-leader with bucket zoomstream answers", "is ZOOMSTREAM_BUCKET right?", "warn  subscription.connection", "doctor: warn ("} {
			if !strings.Contains(text, wanted) {
				t.Errorf("no %q in:\n%s", wanted, text)
			}
		}
	}
	if sum := sim.Summary(testSubscription); sum.Sockets != 1 || sum.Live != 1 {
		t.Errorf("the leader's connection was not left alone: %+v", sum)
	}
}

// TestDoctorKilled: when doctor is killed while it holds the lease, a replica finds it dead and
// takes over.
func TestDoctorKilled(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_HTTP_ADDR=off", "ZOOMSTREAM_LEASE_TTL=5m")
	p := start(t, settings, "run") // creates the buckets
	p.says(&p.stderr, "connected to Zoom")
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)

	sim.Freeze(testSubscription, 0, true)
	look := start(t, settings, "doctor")
	bucket, err := jetStream(t, nats.ClientURL()).KeyValue(t.Context(), "zoomstream")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		entry, err := bucket.Get(t.Context(), "lease."+testSubscription)
		if err == nil && strings.Contains(string(entry.Value()), `"doctor-`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it takes no lease: %v\n%s", err, &look.stdout)
		}
	}
	look.signal(syscall.SIGKILL)
	<-look.exited
	sim.Reset()
	p = start(t, settings, "run")
	p.says(&p.stderr, "connected to Zoom") // long before the lease expires
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
}

// TestDoctorAndReplicasRace starts and stops replicas while doctor runs: doctor never displaces a
// replica, and never stands in a replica's way.
func TestDoctorAndReplicasRace(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_HTTP_ADDR=off")
	replica := func(meanwhile func()) {
		p := start(t, settings, "run")
		p.says(&p.stderr, "connected to Zoom")
		meanwhile()
		p.signal(syscall.SIGTERM)
		p.exit(exitOK)
	}
	replica(func() {}) // creates the buckets
	var looks, connected atomic.Int64
	var doctors sync.WaitGroup
	end, dir := make(chan struct{}), t.TempDir()
	doctors.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			look := exec.Command(os.Args[0], "doctor")
			look.Dir, look.Env = dir, append([]string{"ZS_TEST_MAIN=1"}, settings...)
			text, err := look.CombinedOutput()
			if err != nil {
				t.Errorf("%v:\n%s", err, text)
			}
			if strings.Contains(string(text), "pass  subscription.heartbeat") {
				connected.Add(1)
			}
			looks.Add(1)
		}
	})
	whole := func() { // one run of doctor from beginning to end
		for seen, deadline := looks.Load(), time.Now().Add(30*time.Second); looks.Load() < seen+2; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Error("doctor takes too long")
				return
			}
		}
	}
	for range 6 {
		replica(whole)
		whole()
	}
	close(end)
	doctors.Wait()
	sum := sim.Summary(testSubscription)
	t.Logf("%d looks, of which %d connected; sockets %d, ended by %v", looks.Load(), connected.Load(), sum.Sockets, sum.Retired)
	if displaced := sum.Retired[zoomsim.CauseDisplaced]; displaced > 0 {
		t.Errorf("%d connections were displaced", displaced)
	}
	if n := connected.Load(); n == 0 || n == looks.Load() {
		t.Error("it never met the other case")
	}
}
