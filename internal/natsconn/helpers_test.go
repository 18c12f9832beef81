package natsconn

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestMain is also the program that TestKilledProcessLosesNothing kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		publishUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// logLines collects log lines, and wakes those that wait for one.
type logLines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	added chan struct{}
}

func newLog() (*logLines, zerolog.Logger) {
	l := &logLines{added: make(chan struct{}, 1)}
	return l, zerolog.New(l)
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.added <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// with counts the lines whose message contains a text. Every line must be JSON.
func (l *logLines) with(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(l.String()) {
		var fields struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if strings.Contains(fields.Message, text) {
			n++
		}
	}
	return n
}

// await waits until the log contains a text anywhere.
func (l *logLines) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(15 * time.Second)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.added:
		case <-limit:
			t.Fatalf("no log line with %q in:\n%s", text, l)
		}
	}
}

// runServer starts a nats-server, on a free port unless opts names one.
func runServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true
	if opts.Port == 0 {
		opts.Port = -1
	}
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not come up")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv
}

func startEmbedded(t *testing.T, dir string) *Embedded {
	t.Helper()
	e, err := StartEmbedded(t.Context(), EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Shutdown)
	return e
}

func connect(t *testing.T, o Options) *nats.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	js, err := Connect(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	return js.Conn()
}

// embeddedJetStream returns the JetStream of a new embedded server.
func embeddedJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc := connect(t, startEmbedded(t, t.TempDir()).Inside(Options{}))
	js := natstest.JetStream(t, nc)
	return js
}

// stored returns every body in the stream, in order.
func stored(t *testing.T, js jetstream.JetStream, stream string) []string {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatalf("message %d of %d: %v", seq, state.LastSeq, err)
		}
		bodies = append(bodies, string(msg.Data))
	}
	return bodies
}

func want(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}
