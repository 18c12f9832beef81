//go:build unix && !race

package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// scene is what a case of the runbook needs: a simulated Zoom, a nats-server, and the settings with
// which programs reach them.
type scene struct {
	t       *testing.T
	sim     *zoomsim.Sim
	port    int // where a replica's own NATS listens, in place of the reader's 4222
	nats    *server.Server
	dir     string // the nats-server's data folder
	environ []string
	find    string // what to look for with zoomstream find

	replicas []*program
	messages syncbuf.Buffer
	client   *http.Client
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, port: natstest.Port(t), dir: t.TempDir(), client: &http.Client{Timeout: 2 * time.Second}}
	s.sim, s.environ = startZoom(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs:\n%s", s.look(seenLog))
		}
	})
	s.nats = natsAt(t, s.dir, natstest.Port(t))
	s.set(natsAddr(s.port), "NATS_URL="+s.nats.ClientURL(), "ZOOMSTREAM_LOG_LEVEL=info", "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0", "ZOOMSTREAM_DATA_DIR="+t.TempDir())
	return s
}

// set changes settings for programs that start from now on. The last value of a setting counts.
func (s *scene) set(settings ...string) { s.environ = append(s.environ, settings...) }

// run starts a replica and does not wait for it.
func (s *scene) run(settings ...string) *program {
	s.t.Helper()
	p := start(s.t, append(slices.Clone(s.environ), settings...), "run")
	s.replicas = append(s.replicas, p)
	return p
}

// connected starts a replica and waits until it is connected.
func (s *scene) connected(settings ...string) *program {
	s.t.Helper()
	s.listen()
	p := s.run(settings...)
	p.says(&p.stderr, "connected to Zoom")
	await(s.t, s.sim)
	return p
}

// stores starts a replica and waits until it has stored an event. Until then it may hold events
// back because the state of its connection is not recorded.
func (s *scene) stores() *program {
	s.t.Helper()
	p := s.connected()
	s.emit(1, zoomEvent)
	bodies(s.t, s.nats.ClientURL(), 1)
	return p
}

// beside starts a replica that stands by.
func (s *scene) beside() *program {
	s.t.Helper()
	leader := s.replicas[len(s.replicas)-1]
	p := s.run("ZOOMSTREAM_DATA_DIR=" + s.t.TempDir())
	p.says(&p.stderr, "another replica is running")
	leader.says(&leader.stderr, "another replica is running")
	return p
}

// emit has Zoom send an event so many times.
func (s *scene) emit(n int, e zoomsim.Event) {
	for range n {
		s.sim.Emit(testSubscription, e)
	}
}

// down takes NATS away.
func (s *scene) down() { natstest.Stop(s.nats) }

// instead replaces the nats-server for programs that start from now on.
func (s *scene) instead(options *server.Options) {
	s.t.Helper()
	natstest.Stop(s.nats)
	options.Host, options.Port, options.StoreDir = "127.0.0.1", -1, s.dir
	s.nats = natstest.Start(s.t, options)
	s.set("NATS_URL=" + s.nats.ClientURL())
}

// listen collects zoomstream's own messages in the stream, as nats sub shows them.
func (s *scene) listen() {
	s.t.Helper()
	nc, err := nats.Connect(s.nats.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	_, err = nc.Subscribe("zoom._bridge.>", func(m *nats.Msg) {
		fmt.Fprintf(&s.messages, "%s\n", m.Subject)
		for _, key := range slices.Sorted(maps.Keys(m.Header)) {
			fmt.Fprintf(&s.messages, "%s: %s\n", key, m.Header.Get(key))
		}
		fmt.Fprintf(&s.messages, "%s\n", m.Data)
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Where the runbook tells readers to look.
const (
	seenLog     = "log"
	seenStatus  = "status"
	seenDoctor  = "doctor"
	seenMetrics = "metrics"
	seenMessage = "message"
	seenReady   = "readyz"
	seenGaps    = "gaps"
	seenFind    = "find"
)

// look returns what a reader sees now in one of these places.
func (s *scene) look(place string) string {
	switch place {
	case seenLog:
		return s.each(func(p *program) string { return p.stderr.String() })
	case seenMessage:
		return s.messages.String()
	case seenMetrics:
		return s.each(func(p *program) string { return s.get(p, "metrics") })
	case seenReady:
		return s.each(func(p *program) string { return s.get(p, "readyz") })
	case seenStatus:
		return s.command("status") + s.command("status", "--json") + s.each(func(p *program) string { return s.get(p, "status") })
	case seenDoctor, seenGaps:
		return s.command(place)
	case seenFind:
		return s.command("find", s.find)
	}
	s.t.Errorf("the runbook names a place that nobody looks at: %s", place)
	return ""
}

func (s *scene) each(look func(*program) string) string {
	var b strings.Builder
	for _, p := range s.replicas {
		b.WriteString(look(p))
	}
	return b.String()
}

var listening = regexp.MustCompile(`"code":"http.listening","url":"([^"]+)"`)

// get returns a page of a replica; empty if it has none.
func (s *scene) get(p *program, page string) string {
	url := listening.FindStringSubmatch(p.stderr.String())
	if url == nil {
		return ""
	}
	answer, err := s.client.Get(url[1] + page)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body) // what has arrived is what the reader sees
	return string(text)
}

// command returns what another command prints with the same settings.
func (s *scene) command(args ...string) string {
	cmd := exec.CommandContext(s.t.Context(), os.Args[0], args...)
	cmd.Env, cmd.Dir = append([]string{"ZS_TEST_MAIN=1", natsAddr(s.port)}, s.environ...), s.t.TempDir()
	text, _ := cmd.CombinedOutput() // it fails because something is wrong, which is why it is run
	return string(text)
}

// sees waits until everything that the runbook quotes has been seen.
func (s *scene) sees(spans []runbookSpan) {
	s.t.Helper()
	missing := slices.Clone(spans)
	texts := make(map[string]string)
	for deadline := time.Now().Add(45 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		clear(texts)
		missing = slices.DeleteFunc(missing, func(q runbookSpan) bool {
			if _, known := texts[q.place]; !known {
				texts[q.place] = strings.ReplaceAll(plainText(s.look(q.place)), fmt.Sprintf("127.0.0.1:%d", s.port), "127.0.0.1:4222")
			}
			return q.pattern.MatchString(texts[q.place])
		})
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			for _, q := range missing {
				s.t.Errorf("not seen in %s: %s", q.place, q.text)
			}
			for place, text := range texts {
				s.t.Logf("%s:\n%s", place, text)
			}
			break
		}
	}
	for _, place := range []string{seenLog, seenMetrics} {
		if text := s.look(place); strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
			s.t.Errorf("a secret is in %s:\n%s", place, text)
		}
	}
}

var (
	jsonEscapes = strings.NewReplacer(`\"`, `"`, `\u003e`, ">", `\u003c`, "<", `\u0026`, "&", `\n`, "\n")
	blanks      = regexp.MustCompile(`[ \t]+`)
)

// plainText turns escapes of JSON into the characters that people read, and puts one blank between
// columns.
func plainText(text string) string { return blanks.ReplaceAllString(jsonEscapes.Replace(text), " ") }

// until waits until holds reports true.
func (s *scene) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("in vain: %s\n%s", what, s.look(seenLog))
		}
	}
}

// busy is how many scenes are played at once: they mostly wait.
const busy = 10

// together runs subtests at the same time, however few processors there are.
func together(t *testing.T, names []string, f func(t *testing.T, name string)) {
	var all sync.WaitGroup
	defer all.Wait()
	room := make(chan struct{}, busy)
	for _, name := range names {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { f(t, name) })
		})
	}
}
