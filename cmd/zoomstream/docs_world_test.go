//go:build unix && !race

package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// docPatience bounds each command. The first build of the nats tool takes over a minute.
const docPatience = 4 * time.Minute

// docPorts matches the documents' ports, which are replaced by free ones: of NATS (two servers, a
// leaf node and its hub), of HTTP, of the simulator, and of docZoom.
var docPorts = regexp.MustCompile(`\b(4222|14222|4223|7422|8480|8481|8482|8443)\b`)

// docWorld is where the documents' commands run: a copy of the tree with ports of its own.
type docWorld struct {
	dir  string
	env  []string
	free map[string]string // port in the documents → free port
}

func newDocWorld(t *testing.T) *docWorld {
	t.Helper()
	w := &docWorld{dir: t.TempDir(), free: map[string]string{}}
	for _, port := range []string{"4222", "14222", "4223", "7422", "8480", "8481", "8482", "8443"} {
		w.free[port] = strconv.Itoa(natstest.Port(t))
	}
	w.copyTree(t, "../..")
	w.write(t, "client-secret.txt", "your-client-secret\n")
	chat := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, "ok\n") })) //nolint:errcheck // the client may have gone
	t.Cleanup(chat.Close)
	w.write(t, "alarm-webhook.txt", chat.URL+"/services/T0/B0/x\n")
	w.write(t, "own.conf", w.here(docOwnNATS))
	// Neither the developer's own settings nor those of a make that runs this test.
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "ZOOM") || strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "MAKE") || name == "MFLAGS" {
			continue
		}
		w.env = append(w.env, entry)
	}
	w.env = append(w.env, "PATH="+w.dir+":"+filepath.Join(w.dir, "dist")+":"+os.Getenv("PATH"))
	w.start(t, nil, docStep{line: "make build nats"}) // so that each chapter can run alone
	return w
}

// docConsumer makes a program of the function in the documents.
const docConsumer = `package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

func main() {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err == nil {
		err = consume(context.Background(), nc)
	}
	if err != nil {
		panic(err)
	}
	select {}
}

`

// here replaces ports and addresses in a text of the documents by those of this world.
func (w *docWorld) here(text string) string {
	return w.onFreePorts(docAddresses.Replace(text))
}

var docAddresses = strings.NewReplacer("wss://ws.zoom.us/", "ws://127.0.0.1:8443/",
	"https://ws.zoom.us/", "http://127.0.0.1:8443/", "https://zoom.us/", "http://127.0.0.1:8443/")

// writeBlocks writes the files in a chapter's section, and runs its program.
func (w *docWorld) writeBlocks(t *testing.T, chapter docChapter, blocks []docBlock) {
	t.Helper()
	for _, block := range blocks {
		text := strings.Join(block.lines, "\n") + "\n"
		switch {
		case block.section != chapter.section:
		case block.language == "yaml":
			w.write(t, "zoomstream.yaml", w.here(text))
		case block.language == "go":
			w.write(t, "consumer.go", w.here(docConsumer+text))
		}
	}
}

func (w *docWorld) onFreePorts(text string) string {
	return docPorts.ReplaceAllStringFunc(text, func(port string) string { return w.free[port] })
}

func (w *docWorld) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies what is needed to build and run the program.
func (w *docWorld) copyTree(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && slices.Contains([]string{".git", "data", "dist", "examples/node-webhook/node_modules"}, name):
			return filepath.SkipDir
		case !entry.Type().IsRegular() || name == "zoomstream" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(data)
		if strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".conf") {
			text = w.onFreePorts(text)
		}
		w.write(t, name, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a command to its end. One that stays runs until it has printed what it should, and is
// interrupted when the test ends.
func (w *docWorld) start(t *testing.T, env []string, step docStep) {
	t.Helper()
	line := step.line
	if step.runs != "" {
		line = step.runs
	}
	c := &docProcess{line: line, done: make(chan struct{}), more: make(chan struct{}, 1)}
	c.cmd = exec.Command("sh", "-c", "exec env "+w.here(line)) // env, since the line may begin with settings
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = w.dir, c, c
	if step.inTree {
		c.cmd.Dir = docsRoot
	}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Env = w.env
	for _, setting := range env {
		c.cmd.Env = append(c.cmd.Env, w.here(setting))
	}
	if strings.HasPrefix(line, "nats ") || strings.HasPrefix(line, "dist/nats ") {
		c.cmd.Env = append(c.cmd.Env, "NATS_URL=nats://127.0.0.1:"+w.free["4222"]) // its default is a port of the documents, too
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		c.signal(syscall.SIGKILL)
		<-c.done
	})
	if !step.stays {
		c.ended(t, step.exit, step.prints)
		return
	}
	t.Cleanup(func() {
		c.signal(syscall.SIGINT)
		if !t.Failed() {
			c.ended(t, step.exit, step.bye)
		}
	})
	c.await(t, step.prints)
}

// docProcess is a running command and its output so far.
type docProcess struct {
	line string
	cmd  *exec.Cmd
	done chan struct{} // closed at its end
	err  error         // valid once done is closed

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // signalled when the output has grown
}

func (c *docProcess) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return c.text.Write(p)
}

func (c *docProcess) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// signal sends a signal to the whole process group, as a terminal does on Ctrl-C.
func (c *docProcess) signal(sig syscall.Signal) {
	select {
	case <-c.done: // the process id may be another's by now
	default:
		syscall.Kill(-c.cmd.Process.Pid, sig) //nolint:errcheck // it may have just ended
	}
}

// await waits until the output matches the pattern.
func (c *docProcess) await(t *testing.T, pattern string) {
	t.Helper()
	wanted := regexp.MustCompile("(?m)" + pattern)
	limit := time.After(docPatience)
	for !wanted.MatchString(c.output()) {
		select {
		case <-c.more:
		case <-c.done:
			if !wanted.MatchString(c.output()) {
				t.Fatalf("%s\nended (%v) without %q in its output:\n%s", c.line, c.err, pattern, c.output())
			}
		case <-limit:
			t.Fatalf("%s\nhas not printed %q:\n%s", c.line, pattern, c.output())
		}
	}
}

// ended waits for the command to end, and checks its exit code and output.
func (c *docProcess) ended(t *testing.T, exit int, pattern string) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(docPatience):
		t.Errorf("%s\ndoes not end:\n%s", c.line, c.output())
		return
	}
	if code := c.cmd.ProcessState.ExitCode(); exit != docAnyExit && code != exit {
		t.Errorf("%s\nended with exit code %d (%v), not %d:\n%s", c.line, code, c.err, exit, c.output())
	}
	if !regexp.MustCompile("(?m)" + pattern).MatchString(c.output()) {
		t.Errorf("%s\nended without %q in its output:\n%s", c.line, pattern, c.output())
	}
}
