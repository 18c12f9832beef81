package main

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// TestMain turns the test binary into the program itself, when a test (or a demo that a test has
// started) runs it as such.
func TestMain(m *testing.M) {
	if os.Getenv("ZS_TEST_MAIN") != "" {
		begin(portsOf(os.Getenv("ZS_TEST_PORTS")))
	}
	os.Exit(m.Run())
}

// portsOf reads the ports that a test has chosen for a demo.
func portsOf(setting string) (p ports) {
	fmt.Sscan(setting, &p.nats, &p.zoom, &p.pages[0], &p.pages[1]) //nolint:errcheck // only a demo has any
	return p
}

// demoPorts has a demo use the given ports; 0 is any. It reserves the ports of the status pages,
// since the replicas open them only a moment after the demo has chosen them.
func demoPorts(t *testing.T, nats, zoom int) string {
	return fmt.Sprintf("ZS_TEST_PORTS=%d %d %d %d", nats, zoom, natstest.Port(t), natstest.Port(t))
}

// natsAddr sets the port of a program's embedded NATS server.
func natsAddr(port int) string { return fmt.Sprintf("ZOOMSTREAM_NATS_ADDR=127.0.0.1:%d", port) }

// program is a running zoomstream process.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout syncbuf.Buffer
	stderr syncbuf.Buffer
	exited chan struct{}
}

// start starts zoomstream in a folder of its own and with free ports. Its environment is the given
// one only.
func start(t *testing.T, environ []string, args ...string) *program {
	t.Helper()
	return startBy(t, []string{os.Args[0]}, environ, args...)
}

// startBy is start with a command in front of the program.
func startBy(t *testing.T, command, environ []string, args ...string) *program {
	t.Helper()
	line := append(command, args...)
	p := &program{t: t, cmd: exec.Command(line[0], line[1:]...), exited: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"ZS_TEST_MAIN=1", natsAddr(natstest.Port(t)), "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0", "TMPDIR=" + t.TempDir(), demoPorts(t, 0, 0)}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.exited) }() //nolint:errcheck // ProcessState tells
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.exited })
	return p
}

// exit waits for the process to end, and checks the exit code.
func (p *program) exit(code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("it goes on:\n%s%s", &p.stdout, &p.stderr)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("exit code %d, want %d:\n%s%s", got, code, &p.stdout, &p.stderr)
	}
}

// killedBy waits for the process to end, and checks that the signal ended it.
func (p *program) killedBy(s syscall.Signal) {
	p.t.Helper()
	<-p.exited
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != s {
		p.t.Errorf("it ended by itself: %v:\n%s", p.cmd.ProcessState, &p.stderr)
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// says waits until an output contains a text.
func (p *program) says(o *syncbuf.Buffer, text string) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(o.String(), text); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.exited:
			if !strings.Contains(o.String(), text) {
				p.t.Fatalf("it ended without %q:\n%s%s", text, &p.stdout, &p.stderr)
			}
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it does not say %q:\n%s%s", text, &p.stdout, &p.stderr)
		}
	}
}

const (
	testSubscription = "sub-1"
	testSecret       = "client-secret-must-not-leak"
)

// startZoom starts a simulated Zoom and returns it with the settings that lead to it.
func startZoom(t *testing.T) (*zoomsim.Sim, []string) {
	t.Helper()
	sim := zoomsim.New(zoomsim.Options{ClientID: "client-must-not-leak", ClientSecret: testSecret, AccountID: "account"})
	web := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { sim.Close(); web.Close() })
	return sim, []string{
		"ZOOM_CLIENT_ID=client-must-not-leak", "ZOOM_CLIENT_SECRET=" + testSecret, "ZOOM_ACCOUNT_ID=account",
		"ZOOM_OAUTH_URL=" + web.URL + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws" + strings.TrimPrefix(web.URL, "http") + "/ws?subscriptionId=" + testSubscription,
		"ZOOMSTREAM_LOG_LEVEL=trace",
	}
}

// startNATS starts a nats-server with the repository's nats.conf, on a free port and in a folder of
// its own.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	options, err := server.ProcessConfigFile("../../nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	options.Port, options.HTTPPort, options.StoreDir = -1, 0, t.TempDir()
	return natstest.Start(t, options)
}

func await(t *testing.T, sim *zoomsim.Sim) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := sim.WaitReady(ctx, testSubscription); err != nil {
		t.Fatal(err)
	}
}

const gapSubject = "zoom._bridge.gap"

// bodies waits until the stream ZOOM has at least so many messages with Zoom's frames, and returns
// their bodies. It leaves out gap markers and alarms, which may come whenever the machine is slow.
func bodies(t *testing.T, url string, atLeast int) []string {
	t.Helper()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ofFrames := func(subject string) bool {
		kind := message.KindOf("zoom", subject)
		return kind != message.KindGap && kind != message.KindAlarm
	}
	messages := 0 // of all kinds
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var info *jetstream.StreamInfo
		stream, err := js.Stream(t.Context(), "ZOOM")
		if err == nil {
			info, err = stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		}
		if err == nil {
			count := 0
			messages = 0 // State.Msgs is older than the counts of the subjects
			for subject, n := range info.State.Subjects {
				messages += int(n)
				if ofFrames(subject) {
					count += int(n)
				}
			}
			if count >= atLeast {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stream has not %d messages: %v", atLeast, err)
		}
	}
	consumer, err := js.OrderedConsumer(t.Context(), "ZOOM", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(messages, jetstream.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for msg := range batch.Messages() {
		if ofFrames(msg.Subject()) {
			all = append(all, string(msg.Data()))
		}
	}
	if err := batch.Error(); err != nil {
		t.Fatalf("read %d events of %d messages: %v", len(all), messages, err)
	}
	return all
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"fly"}, {"run", "--no-such-flag"}, {"demo", "--rate=0"}, {"demo", "--rate=x"}, {"sim", "--fault=nonsense"}} {
		p := start(t, nil, args...)
		p.exit(exitUsage)
		if text := p.stderr.String(); !strings.HasPrefix(text, "zoomstream: ") || p.stdout.String() != "" {
			t.Errorf("%v: %s%s", args, text, &p.stdout)
		}
	}
	p := start(t, nil, "run", "--zoom-client-secret", "-must-not-leak")
	p.exit(exitUsage)
	if strings.Contains(p.stderr.String(), "must-not-leak") {
		t.Errorf("a secret is in the error: %s", &p.stderr)
	}
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"demo", "--help"}, {"sim", "--help"}} {
		p := start(t, nil, args...)
		p.exit(exitOK)
		if text := p.stdout.String(); !strings.Contains(text, "Usage: zoomstream") || p.stderr.String() != "" {
			t.Errorf("%v: %s%s", args, text, &p.stderr)
		}
	}
	p = start(t, nil, "version")
	p.exit(exitOK)
	if text := p.stdout.String(); !strings.HasPrefix(text, "zoomstream ") || !strings.Contains(text, "commit") || !strings.Contains(text, "go1.") {
		t.Error(text)
	}
}

func TestRunWithoutCredentials(t *testing.T) {
	p := start(t, nil, "run")
	p.exit(exitConfig)
	for _, word := range []string{"ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET", "ZOOM_WEBSOCKET_URL", "App Credentials", "zoomstream demo"} {
		if !strings.Contains(p.stderr.String(), word) {
			t.Errorf("%q is missing from:\n%s", word, &p.stderr)
		}
	}
}

func TestAllConfigurationErrorsAtOnce(t *testing.T) {
	_, settings := startZoom(t)
	p := start(t, append(settings, "ZOOMSTREAM_LEASE_TTL=abc", "ZOOMSTREAM_STREM=x", "ZOOMSTREAM_DEDUPE=none"), "run")
	p.exit(exitConfig)
	for _, word := range []string{"ZOOMSTREAM_LEASE_TTL", "abc", "ZOOMSTREAM_STREM", "ZOOMSTREAM_STREAM", "ZOOMSTREAM_DEDUPE"} {
		if !strings.Contains(p.stderr.String(), word) {
			t.Errorf("%q is missing from:\n%s", word, &p.stderr)
		}
	}
}

func TestCredentialsThatNeverWork(t *testing.T) {
	nats := startNATS(t)
	_, settings := startZoom(t)
	p := start(t, append(settings, "NATS_URL="+nats.ClientURL(), "ZOOM_CLIENT_SECRET=wrong-must-not-leak"), "run")
	p.exit(exitConfig)
	text := p.stderr.String()
	if !strings.Contains(text, "Invalid client_id or client_secret") || !strings.Contains(text, "ZOOM_CLIENT_SECRET") || strings.Contains(text, "must-not-leak") {
		t.Error(text)
	}
}

// TestRunAndStop runs the program on nats.conf and stops it under load. Everything that Zoom wrote
// is stored, or waits on disk for the next run if NATS is slow.
func TestRunAndStop(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		nats := startNATS(t)
		sim, settings := startZoom(t)
		settings = append(settings, "NATS_URL="+nats.ClientURL(), "ZOOMSTREAM_DATA_DIR="+t.TempDir())
		p := start(t, settings, "run")
		await(t, sim)
		ctx, cancel := context.WithCancel(t.Context())
		var traffic sync.WaitGroup
		traffic.Go(func() {
			sim.Traffic(ctx, zoomsim.Traffic{Subscription: testSubscription, Rate: 1000}) //nolint:errcheck
		})
		bodies(t, nats.ClientURL(), 300)
		p.signal(s)
		p.exit(exitOK)
		cancel()
		traffic.Wait()
		sum := sim.Summary(testSubscription)
		for deadline := time.Now().Add(10 * time.Second); sum.Open > 0 && time.Now().Before(deadline); sum = sim.Summary(testSubscription) {
			time.Sleep(5 * time.Millisecond) // what it wrote last is not counted before
		}
		if strings.Contains(p.stderr.String(), "stays in the spool") {
			next := start(t, settings, "run")
			bodies(t, nats.ClientURL(), int(sum.Written))
			next.signal(s)
			next.exit(exitOK)
		}
		// The write that the stop interrupted counts as lost, but may have arrived.
		if got := len(bodies(t, nats.ClientURL(), 1)); got != int(sum.Written) && got != int(sum.Written)+min(1, int(sum.Lost)) {
			t.Errorf("%s: Zoom wrote %d events and lost %d, %d are stored", s, sum.Written, sum.Lost, got)
		}
		if text := p.stderr.String(); strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
			t.Errorf("a secret is in the log:\n%s", text)
		}
	}
}

// TestEmbeddedSurvivesKill kills the program and its embedded server: what was acknowledged is
// there after a restart.
func TestEmbeddedSurvivesKill(t *testing.T) {
	t.Parallel()
	port := natstest.Port(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	sim, settings := startZoom(t)
	dir := t.TempDir()
	settings = append(settings, "ZOOMSTREAM_DATA_DIR="+dir, natsAddr(port))
	total := 0
	for range 3 {
		p := start(t, settings, "run")
		p.says(&p.stderr, "connected to Zoom") // the simulator may not have noticed yet that the previous connection ended
		for range 50 {
			total++
			sim.Emit(testSubscription, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":"meeting.started","n":%d}`, total)})
		}
		if got := bodies(t, url, total); len(got) != total || got[total-1] != fmt.Sprintf(`{"event":"meeting.started","n":%d}`, total) {
			t.Fatalf("%d of %d events", len(got), total)
		}

		second := start(t, settings, "run")
		second.exit(exitFailure)
		if !strings.Contains(second.stderr.String(), "NATS_URL_FILE="+filepath.Join(dir, "nats.url")) {
			t.Errorf("a second process on the folder is not told how to join:\n%s", &second.stderr)
		}
		other := start(t, append(settings, "ZOOMSTREAM_DATA_DIR="+t.TempDir()), "run")
		other.exit(exitFailure)
		if !strings.Contains(other.stderr.String(), "NATS_URL_FILE=") {
			t.Errorf("a second process on the port is not told how to join:\n%s", &other.stderr)
		}

		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

// startPaused starts a program that holds one event, after its NATS has stopped.
func startPaused(t *testing.T, settings ...string) *program {
	t.Helper()
	nats := startNATS(t)
	sim, environ := startZoom(t)
	p := start(t, append(append(environ, settings...), "NATS_URL="+nats.ClientURL()), "run")
	await(t, sim)
	sim.Emit(testSubscription, zoomsim.Event{Name: "meeting.started"})
	bodies(t, nats.ClientURL(), 1)
	natstest.Stop(nats)
	sim.Emit(testSubscription, zoomsim.Event{Name: "meeting.started"})
	p.says(&p.stderr, "publishing paused")
	return p
}

// TestSecondSignalEndsAtOnce: a second signal ends a program at once that cannot store what it
// holds.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := startPaused(t)
	p.signal(syscall.SIGTERM)
	p.says(&p.stderr, "connection to Zoom closed")
	p.signal(syscall.SIGTERM)
	p.killedBy(syscall.SIGTERM)
}

// TestStopWithoutNATS: a stop without NATS keeps what was received on disk.
func TestStopWithoutNATS(t *testing.T) {
	t.Parallel()
	p := startPaused(t)
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	if !strings.Contains(p.stderr.String(), "stays in the spool") {
		t.Errorf("it does not say what is left:\n%s", &p.stderr)
	}
}

// TestStopWithoutNATSAndDisk: a stop without NATS and disk says what is lost.
func TestStopWithoutNATSAndDisk(t *testing.T) {
	t.Parallel()
	p := startPaused(t, "ZOOMSTREAM_SPOOL_DIR=/dev/null/spool")
	p.signal(syscall.SIGTERM)
	p.exit(exitFailure)
	for _, text := range []string{"the spool cannot be used", " received messages are lost: "} {
		if !strings.Contains(p.stderr.String(), text) {
			t.Errorf("it does not say %q:\n%s", text, &p.stderr)
		}
	}
}
