package natsconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

const childDir = "NATSCONN_TEST_DATA_DIR"

func TestStopAndStartKeepsMessages(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("x", 7<<20)
	e := startEmbedded(t, dir)
	nc := connect(t, Options{URL: e.URL()})
	js := natstest.JetStream(t, nc)
	if _, _, _, err := EnsureStream(t.Context(), js, wanted()); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", big} {
		if _, err := js.Publish(t.Context(), "zoom.meeting.started", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	nc.Close()
	e.Shutdown()
	e.Shutdown() // a second call does no harm

	if _, err := os.Stat(filepath.Join(dir, "nats", "jetstream", "$G", "streams", "ZOOM")); err != nil {
		t.Errorf("the layout of the data folder: %v", err)
	}
	if url, runs := EmbeddedURL(dir, ""); url != e.URL() || runs {
		t.Errorf("stopped: the address is kept: %v; it runs: %v", url == e.URL(), runs)
	}
	nc = connect(t, startEmbedded(t, dir).Inside(Options{}))
	js, _ = jetstream.New(nc)
	if got := stored(t, js, "ZOOM"); !slices.Equal(got, []string{"one", big}) {
		t.Errorf("%d messages after the restart", len(got))
	}
}

func TestStartSaysLittle(t *testing.T) {
	log, logger := newLog()
	e, err := StartEmbedded(t.Context(), EmbeddedOptions{DataDir: t.TempDir(), Addr: "127.0.0.1:0", Log: logger.Level(zerolog.InfoLevel)})
	if err != nil {
		t.Fatal(err)
	}
	e.Shutdown()
	if lines := strings.Count(log.String(), "\n"); lines != 1 || log.with(t, "embedded NATS started") != 1 {
		t.Errorf("%d lines:\n%s", lines, log)
	}

	log, logger = newLog()
	e, err = StartEmbedded(t.Context(), EmbeddedOptions{DataDir: t.TempDir(), Addr: "127.0.0.1:0", Log: logger.Level(zerolog.DebugLevel)})
	if err != nil {
		t.Fatal(err)
	}
	e.Shutdown()
	if log.with(t, "Server is ready") != 1 || strings.Contains(log.String(), `\\__/`) {
		t.Errorf("the server's notices at debug, without its banner:\n%s", log)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	addr := startEmbedded(t, t.TempDir()).listener.Addr().(*net.TCPAddr)
	if !addr.IP.IsLoopback() {
		t.Errorf("it listens on %v", addr)
	}
}

func TestFolderCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := StartEmbedded(t.Context(), EmbeddedOptions{DataDir: filepath.Join(file, "data"), Addr: "127.0.0.1:0"})
	want(t, err, file, "ZOOMSTREAM_DATA_DIR")

	if err := os.WriteFile(filepath.Join(dir, "nats"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = StartEmbedded(t.Context(), EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	want(t, err, filepath.Join(dir, "nats"), "Can't start JetStream")

	// The failed start has released the folder.
	if err := os.Remove(filepath.Join(dir, "nats")); err != nil {
		t.Fatal(err)
	}
	startEmbedded(t, dir)

	if os.Geteuid() != 0 { // root may write everywhere
		readOnly := t.TempDir()
		if err := os.Chmod(readOnly, 0o500); err != nil {
			t.Fatal(err)
		}
		_, err = StartEmbedded(t.Context(), EmbeddedOptions{DataDir: readOnly, Addr: "127.0.0.1:0"})
		want(t, err, readOnly, "permission denied", "ZOOMSTREAM_DATA_DIR")
	}
}

func TestPortInUse(t *testing.T) {
	first := startEmbedded(t, t.TempDir())
	addr := first.listener.Addr().String()
	dir := t.TempDir()
	_, err := StartEmbedded(t.Context(), EmbeddedOptions{DataDir: dir, Addr: addr})
	want(t, err, "NATS_URL="+first.ClientURL(), "NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url")
	if !errors.Is(err, ErrPortInUse) {
		t.Errorf("%v is no ErrPortInUse", err)
	}
	startEmbedded(t, dir) // on another port, it can use the folder
}

func TestStartIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("told to stop"))
	dir := t.TempDir()
	_, err := StartEmbedded(ctx, EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	want(t, err, "told to stop")
	startEmbedded(t, dir)
}

func TestFatalErrorReachesTheOwner(t *testing.T) {
	e := startEmbedded(t, t.TempDir())
	cause := errors.New("disk gone")
	e.Server().Fatalf("Can't go on: %q", cause)
	e.Server().Fatalf("and again") // must not block
	err := <-e.Failed()
	want(t, err, `Can't go on: "disk gone"`)
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if !e.Server().Running() {
		t.Error("the library ended by itself: Failed has no purpose any more")
	}
}

// TestKilledProcessLosesNothing kills a publishing process. While it runs the folder is locked.
// Afterwards everything that was acknowledged is there.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	defer func() {
		if !killed {
			_ = child.Process.Kill()
			_ = child.Wait()
		}
	}()

	lines := bufio.NewScanner(out)
	var acked []string
	for len(acked) < 100 && lines.Scan() {
		acked = append(acked, lines.Text())
	}
	if len(acked) < 100 {
		t.Fatalf("the child published only %d", len(acked))
	}
	_, err = StartEmbedded(t.Context(), EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	want(t, err, dir, "NATS_URL_FILE="+URLFile(dir), "ZOOMSTREAM_DATA_DIR")
	if !errors.Is(err, ErrFolderInUse) {
		t.Errorf("%v is no ErrFolderInUse", err)
	}

	_ = child.Process.Kill()
	for lines.Scan() { // acknowledged before the kill, and still in the pipe
		acked = append(acked, lines.Text())
	}
	_ = child.Wait()
	killed = true

	nc := connect(t, startEmbedded(t, dir).Inside(Options{}))
	js, _ := jetstream.New(nc)
	got := stored(t, js, "ZOOM")
	if len(got) < len(acked) || !slices.Equal(got[:len(acked)], acked) {
		t.Errorf("%d acknowledged, %d stored", len(acked), len(got))
	}
}

// publishUntilKilled is the child process: it prints each body once that is acknowledged.
func publishUntilKilled(dir string) {
	ctx := context.Background()
	e, err := StartEmbedded(ctx, EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	exitOn(err)
	js, err := Connect(ctx, e.Inside(Options{}))
	exitOn(err)
	_, _, _, err = EnsureStream(ctx, js, wanted())
	exitOn(err)
	for i := range 1_000_000 {
		body := fmt.Sprintf("event %d", i)
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "zoom.meeting.started", Data: []byte(body)})
		exitOn(err)
		fmt.Println(body)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestEveryWriteIsSynced(t *testing.T) {
	config := startEmbedded(t, t.TempDir()).Server().JetStreamConfig()
	if !config.SyncAlways {
		t.Errorf("a power cut can take acknowledged messages: %+v", config)
	}
}
