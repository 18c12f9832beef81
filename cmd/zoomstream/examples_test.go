//go:build unix && !race

// Excluded under the race detector, which would not see the examples' processes.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// exampleWorld is what the examples read from: a simulated Zoom, and zoomstream with its embedded
// NATS server. They connect without a login, as on a developer's machine.
type exampleWorld struct {
	sim *zoomsim.Sim
	js  jetstream.JetStream
	url string
	bin string // folder of the examples' Go programs
}

const exampleSecret = "secret-token"

// TestExamples runs each example against the real program. Each has events of its own, and ignores
// those of the others.
func TestExamples(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs several programs")
	}
	w := &exampleWorld{bin: t.TempDir()}
	build := exec.Command("go", "build", "-o", w.bin, "./examples/...")
	build.Dir = docsRoot
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.sim = zoomsim.New(zoomsim.Options{ClientID: "id", ClientSecret: "secret", SecretToken: exampleSecret})
	web := httptest.NewServer(w.sim.Handler())
	t.Cleanup(func() { w.sim.Close(); web.Close() })
	port := natstest.Port(t)
	start(t, []string{
		natsAddr(port), "ZOOM_CLIENT_ID=id", "ZOOM_CLIENT_SECRET=secret", "ZOOM_OAUTH_URL=" + web.URL + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws" + strings.TrimPrefix(web.URL, "http") + "/ws?subscriptionId=" + testSubscription,
	}, "run")
	await(t, w.sim)
	w.url = fmt.Sprintf("nats://127.0.0.1:%d", port)
	w.js = jetStream(t, w.url)
	w.sim.SendRaw(testSubscription, []byte("no frame"), false) // a message that is no event
	t.Run("examples", func(t *testing.T) {                     // ends after those that run beside each other
		t.Run("go-durable", func(t *testing.T) { t.Parallel(); w.durable(t) })
		t.Run("go-workers", func(t *testing.T) { t.Parallel(); w.workers(t) })
		t.Run("node-webhook", func(t *testing.T) { t.Parallel(); w.node(t) })
		t.Run("python-sqlite", func(t *testing.T) { t.Parallel(); w.python(t) })
	})
}

// emit sends the events numbered from (inclusive) to to (exclusive), of so many meetings in turn.
// An event's message id begins with <who>-<number>:, and its meeting is <who>-<number modulo
// meetings>.
func (w *exampleWorld) emit(who string, from, to, meetings int) {
	for n := from; n < to; n++ {
		w.sim.Emit(testSubscription, zoomsim.Event{
			TrackingID: fmt.Sprintf("%s-%d", who, n),
			Body: fmt.Appendf(nil, ` {"event": "meeting.updated", "event_ts": %d, "payload": {"account_id": "a", "object": {"id": "%s-%d", "topic": "größer \u0026 \/"}}} `+"\n",
				time.Now().UnixMilli(), who, n%meetings),
		})
	}
}

// exampleRun is a running example.
type exampleRun struct {
	cmd            *exec.Cmd
	stdout, stderr syncbuf.Buffer
	exited         chan struct{}
}

func (w *exampleWorld) start(t *testing.T, dir, name string, args ...string) *exampleRun {
	t.Helper()
	if filepath.Base(name) == name && strings.HasPrefix(name, "go-") {
		name = filepath.Join(w.bin, name)
	}
	r := &exampleRun{cmd: exec.Command(name, args...), exited: make(chan struct{})}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, &r.stdout, &r.stderr
	r.cmd.Env = append(os.Environ(), "NATS_URL="+w.url, "WEBHOOK_SECRET_TOKEN="+exampleSecret)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.cmd.Wait(); close(r.exited) }() //nolint:errcheck // ProcessState tells
	t.Cleanup(func() { r.cmd.Process.Kill(); <-r.exited })
	return r
}

// until waits up to a minute until holds reports true. It fails the test if the example ends
// before.
func (r *exampleRun) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-r.exited:
			t.Fatalf("%s ended before %s: %v\n%s%s", r.cmd, what, r.cmd.ProcessState, &r.stdout, &r.stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: waited in vain for %s\n%s%s", r.cmd, what, &r.stdout, &r.stderr)
		}
	}
}

func (r *exampleRun) kill() {
	r.cmd.Process.Kill() //nolint:errcheck // it may have ended: its file shows it
	<-r.exited
}

// stop ends the example as a supervisor does.
func (r *exampleRun) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s: exit code %d: %s", r.cmd, code, &r.stderr)
	}
}

// exampleLine is a line of the file that an example writes.
type exampleLine struct{ ID, Object, Key string }

// exampleLines reads the complete lines of a file whose ids are those of emit for who.
func exampleLines(t *testing.T, path, who string) (lines []exampleLine) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text[:bytes.LastIndexByte(text, '\n')+1]) {
		var l exampleLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v: %q", path, err, line)
		}
		if l.ID, _, _ = strings.Cut(l.ID, ":"); strings.HasPrefix(l.ID, who+"-") {
			lines = append(lines, l)
		}
	}
	return lines
}

// tear leaves an incomplete line at the end of a file, as a crash may.
func tear(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(`{"ID":"d-`); err != nil {
		t.Fatal(err)
	}
}

// durable: each event has one line, in the stream's order, also after kill -9 half-way, and when
// all events are delivered again.
func (w *exampleWorld) durable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "go-durable.jsonl")
	has := func(n int) func() bool {
		return func() bool { return len(exampleLines(t, path, "d")) >= n }
	}
	w.emit("d", 0, 30, 3)
	r := w.start(t, dir, "go-durable")
	r.until(t, "five events", has(5))
	r.kill()
	tear(t, path)
	w.emit("d", 30, 60, 3)
	r = w.start(t, dir, "go-durable")
	r.until(t, "sixty events", has(60))
	r.stop(t)
	if err := w.js.DeleteConsumer(t.Context(), "ZOOM", "go-durable"); err != nil {
		t.Fatal(err)
	}
	w.emit("d", 60, 61, 3)
	r = w.start(t, dir, "go-durable")
	r.until(t, "the last event", has(61))
	lines := exampleLines(t, path, "d")
	for i, l := range lines {
		if want := fmt.Sprintf("d-%d", i); l.ID != want {
			t.Fatalf("line %d of %d is %s", i, len(lines), l.ID)
		}
	}
}

// workers: one of three workers is killed. All events of a meeting are in one file, in order.
func (w *exampleWorld) workers(t *testing.T) {
	const workers, meetings, half, all = 3, 12, 60, 120
	dir := t.TempDir()
	path := func(worker int) string {
		return filepath.Join(dir, fmt.Sprintf("worker-%d-of-%d.jsonl", worker, workers))
	}
	run := func(worker int) *exampleRun {
		return w.start(t, dir, "go-workers", "-worker", fmt.Sprint(worker), "-of", fmt.Sprint(workers))
	}
	w.emit("w", 0, half, meetings)
	var runs []*exampleRun
	for worker := range workers {
		runs = append(runs, run(worker))
	}
	victim := -1
	runs[0].until(t, "an event", func() bool {
		victim = slices.IndexFunc([]int{0, 1, 2}, func(worker int) bool { return len(exampleLines(t, path(worker), "w")) >= 3 })
		return victim >= 0
	})
	runs[victim].kill()
	tear(t, path(victim))
	w.emit("w", half, all, meetings)
	runs[victim] = run(victim)

	var of [workers][]exampleLine
	runs[victim].until(t, "all events", func() bool {
		n := 0
		for worker := range workers {
			of[worker] = exampleLines(t, path(worker), "w")
			n += len(of[worker])
		}
		return n >= all
	})
	got, workerOf := make(map[string][]string), make(map[string]int)
	for worker, lines := range of {
		for _, l := range lines {
			if before, seen := workerOf[l.Key]; seen && before != worker {
				t.Errorf("meeting %s is of the workers %d and %d", l.Key, before, worker)
			}
			workerOf[l.Key] = worker
			got[l.Key] = append(got[l.Key], l.ID)
		}
	}
	for meeting := range meetings {
		var want []string
		for n := meeting; n < all; n += meetings {
			want = append(want, fmt.Sprintf("w-%d", n))
		}
		if key := fmt.Sprintf("w-%d", meeting); !slices.Equal(got[key], want) {
			t.Errorf("meeting %s: %q", key, got[key])
		}
	}
	for _, r := range runs {
		r.stop(t)
	}
}

// node: the handler gets each event with a valid signature, and nothing else. It is slow: for all
// events together it takes longer than a message may stay unacknowledged.
func (w *exampleWorld) node(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("not run: this machine has no %s", program)
		}
	}
	dir := t.TempDir()
	slow := strings.NewReplacer("  res.sendStatus(200)",
		"  setTimeout(() => res.sendStatus(200), String(req.body.payload.object?.id).startsWith('n-') ? 150 : 0)", "durable_name:", "ack_wait: 1e9, durable_name:")
	for _, name := range []string{"package.json", "package-lock.json", "app.js", "worker.js"} {
		text, err := os.ReadFile(filepath.Join(docsRoot, "examples/node-webhook", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(slow.Replace(string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if text := string(out); strings.Contains(text, "EUSAGE") || strings.Contains(text, "EINTEGRITY") {
			t.Fatalf("package-lock.json is wrong: %s", text)
		}
		t.Skipf("not run: npm ci does not get the packages (%v): %s", err, out)
	}
	w.emit("n", 0, 20, 20)
	r := w.start(t, dir, "node", "worker.js")
	r.until(t, "all events", func() bool { return strings.Count(r.stdout.String(), "meeting.updated n-") >= 20 })
	r.until(t, "all acknowledgements", func() bool {
		consumer, err := w.js.Consumer(t.Context(), "ZOOM", "node-webhook")
		if err != nil {
			t.Fatal(err)
		}
		info := consumer.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
	r.stop(t)
	if text := r.stderr.String(); text != "" {
		t.Error(text)
	}
	if n := strings.Count(r.stdout.String(), "meeting.updated n-"); n != 20 {
		t.Errorf("the handler got %d events, want 20", n)
	}
}

// python: each message has one row, also when all are delivered again.
func (w *exampleWorld) python(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "import nats, sqlite3").CombinedOutput(); err != nil {
		t.Skipf("not run: there is no python3 that can import nats (%v) %s", err, out)
	}
	program, err := filepath.Abs(filepath.Join(docsRoot, "examples/python-sqlite/sqlite.py"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rows := func() string {
		const query = `import sqlite3; print(sqlite3.connect("messages.db").execute("select count(*) from message where id like 'p-%'").fetchone()[0])`
		count := exec.Command("python3", "-c", query)
		count.Dir = dir
		out, _ := count.Output() //nolint:errcheck // there is no table yet
		return strings.TrimSpace(string(out))
	}
	w.emit("p", 0, 20, 20)
	r := w.start(t, dir, "python3", program)
	r.until(t, "all rows", func() bool { return rows() == "20" })
	r.kill()
	if err := w.js.DeleteConsumer(t.Context(), "ZOOM", "python-sqlite"); err != nil && !strings.Contains(err.Error(), nats.ErrConsumerNotFound.Error()) {
		t.Fatal(err)
	}
	w.emit("p", 20, 21, 20)
	r = w.start(t, dir, "python3", program)
	r.until(t, "the last row", func() bool { return rows() == "21" })
}
