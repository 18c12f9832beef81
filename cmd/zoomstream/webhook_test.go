package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// hook is an incoming webhook.
type hook struct {
	url  string
	file string // file with the URL

	mu    sync.Mutex
	posts []string
	hangs bool // accepts connections but does not answer
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{file: filepath.Join(t.TempDir(), "alarm-webhook.txt")}
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	h.url = web.URL + "/services/must-not-leak"
	h.write(t, h.url)
	return h
}

// write writes the URL into the file.
func (h *hook) write(t *testing.T, url string) {
	t.Helper()
	if err := os.WriteFile(h.file, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *hook) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil || in.URL.Path != "/services/must-not-leak" {
		http.NotFound(out, in)
		return
	}
	h.mu.Lock()
	h.posts = append(h.posts, string(body))
	hangs := h.hangs
	h.mu.Unlock()
	if hangs {
		<-in.Context().Done()
		return
	}
	io.WriteString(out, "ok") //nolint:errcheck // as Slack's; the client may have gone
}

func (h *hook) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs = true
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.posts)
}

// until waits until the webhook has got at least n messages, and returns them.
func (h *hook) until(t *testing.T, m *member, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(h.got()) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the webhook is not told of it; it got %q\n%s", h.got(), &m.stderr)
		}
	}
	return h.got()
}

// TestAlarmWebhook takes NATS away while no events come: the leader posts its alarm to the webhook
// while NATS is away, and when it is back. The stream gets the same messages later.
func TestAlarmWebhook(t *testing.T) {
	t.Parallel()
	h, dir, port := newHook(t), t.TempDir(), natstest.Port(t)
	nats := natsAt(t, dir, port)
	f := newFleet(t, nats.ClientURL(), testSubscription)
	f.settings = append(f.settings, "ZOOMSTREAM_ALARM_WEBHOOK_URL_FILE="+h.file)
	h.write(t, h.url+"-revoked")
	m := f.add()
	standby := f.add()
	natstest.Stop(nats)
	m.says(&m.stderr, `"reason":"http_404"`)
	h.write(t, h.url) // no signal tells the leader
	if posts := h.until(t, m, 1); strings.Contains(m.stderr.String(), `"code":"nats.reconnected"`) {
		t.Errorf("the webhook is told of %s after the outage", posts)
	}
	natsAt(t, dir, port)
	posts := h.until(t, m, 2)
	f.stop(standby)
	f.stop(m)
	if len(h.got()) != 2 {
		t.Errorf("the webhook got %q", h.got())
	}

	var stored []string
	stream, err := f.js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	for sequence := range stream.CachedInfo().State.LastSeq {
		msg, err := stream.GetMsg(t.Context(), sequence+1)
		if err == nil && message.KindOf("zoom", msg.Subject) == message.KindAlarm {
			stored = append(stored, string(msg.Data))
		}
	}
	for n, raised := range []bool{true, false} {
		var text struct{ Text string }
		alarm, err := message.ParseAlarm([]byte(posts[n]), time.Now())
		if err == nil {
			err = json.Unmarshal([]byte(posts[n]), &text)
		}
		if err != nil || alarm.Name != message.AlarmSpooling || alarm.Raised != raised || alarm.Replica != m.name || !strings.HasPrefix(text.Text, "zoomstream: alarm spooling is ") {
			t.Errorf("%s: %v", posts[n], err)
		}
		if len(stored) != 2 || !strings.HasPrefix(posts[n], strings.TrimSuffix(stored[n], "}")) {
			t.Errorf("the webhook got %s, the stream has %q", posts[n], stored)
		}
	}
	if log := m.stderr.String(); strings.Contains(log, "must-not-leak") || strings.Count(log, `"code":"webhook.sent"`) != 2 {
		t.Errorf("the log:\n%s", log)
	}
}

// TestWebhookThatHangs: a webhook that hangs neither delays the handover nor keeps the process from
// ending.
func TestWebhookThatHangs(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.hang()
	f := newFleet(t, fleetNATS(t), testSubscription)
	f.settings = append(f.settings, "ZOOMSTREAM_ALARM_WEBHOOK_URL_FILE="+h.file, "ZOOMSTREAM_ALARM_SILENT=100ms")
	m := f.add()
	f.add()
	h.until(t, m, 1)
	began := time.Now()
	m.signal(os.Interrupt)
	f.sockets(2)
	handed := time.Since(began)
	m.exit(exitOK)
	took := time.Since(began)
	f.gone(m)
	if sockets := f.sim.Ledger().Sockets; len(sockets) != 2 || sockets[0].Cause != zoomsim.CauseDisplaced {
		t.Errorf("%+v", sockets)
	}
	if !strings.Contains(m.stderr.String(), `"code":"webhook.dropped"`) {
		t.Errorf("nothing tells what was not told:\n%s", &m.stderr)
	}
	if took > 10*time.Second { // two of them are the webhook's
		t.Errorf("it takes %v to end", took)
	}
	t.Logf("handed over after %v, ended after %v", handed, took)
}
