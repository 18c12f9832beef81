//go:build !race

// Excluded under the race detector: the command's package is tested with it.

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestForward has three processes deliver: one that is killed, its standby, and one that sends the
// dead letters again.
func TestForward(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	var mu sync.Mutex
	var got []string
	refuses, asked := true, make(chan string, 100)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) //nolint:errcheck // it is then another one
		mu.Lock()
		defer mu.Unlock()
		if string(body) == "poison" && refuses {
			w.WriteHeader(http.StatusUnprocessableEntity)
		} else {
			got = append(got, string(body))
		}
		asked <- string(body)
	}))
	t.Cleanup(endpoint.Close)
	store := func(bodies ...string) {
		for _, body := range bodies {
			s.store("zoom.meeting.started", nats.Header{nats.MsgIdHdr: {body}, "Zoom-Event": {"meeting.started"}}, []byte(body))
		}
	}
	const secret = "must-not-leak-secret"
	settings := []string{"NATS_URL=" + s.url, "ZOOMSTREAM_FORWARD_SECRET=" + secret, "ZOOMSTREAM_LOG_LEVEL=trace"}
	args := []string{"forward", "--to=" + endpoint.URL + "/must-not-leak?key=must-not-leak", "--since=1h", "--name=team"}
	store("a", "poison", "b")
	first := start(t, settings, append(args, "--metrics=127.0.0.1:0")...)
	first.says(&first.stderr, `"code":"forward.dead"`)
	for range 5 { // three attempts for the poison
		<-asked
	}
	forwardMetrics(t, first)
	standby := start(t, settings, args...)
	standby.says(&standby.stderr, `"code":"forward.standby"`)
	first.signal(syscall.SIGTERM)
	first.exit(exitOK)
	store("c")
	standby.says(&standby.stderr, `"code":"forward.active"`)
	<-asked
	standby.signal(syscall.SIGKILL)
	<-standby.exited
	store("d")

	other := start(t, settings, append(args, "--dead")...)
	other.exit(exitFailure)
	if text := other.stdout.String(); text != "0 dead letters of team delivered, 1 left.\n" {
		t.Error(text)
	}
	mu.Lock()
	refuses = false
	mu.Unlock()
	other = start(t, settings, append(args, "--dead")...)
	other.exit(exitOK)
	if text := other.stdout.String(); text != "1 dead letter of team delivered, 0 left.\n" {
		t.Error(text)
	}
	last := start(t, settings, args...)
	last.says(&last.stderr, `"code":"forward.active"`) // once the killed one's pin expires
	for body := ""; body != "d"; {
		body = <-asked
	}
	last.signal(syscall.SIGTERM)
	last.exit(exitOK)
	mu.Lock()
	defer mu.Unlock()
	if text := strings.Join(got, " "); text != "a b c poison d" && text != "a b c poison c d" { // c may not have been acknowledged before the kill
		t.Errorf("delivered is %s", text)
	}
	for _, p := range []*program{first, standby, other, last} {
		if text := p.stderr.String() + p.stdout.String(); strings.Contains(text, "must-not-leak") {
			t.Errorf("it shows a secret: %s", text)
		}
	}
}

// forwardMetrics: the metrics are the documented ones, and have the right values once the poison
// and both events are through.
func forwardMetrics(t *testing.T, p *program) {
	t.Helper()
	documented := regexp.MustCompile("(?m)^\\| `(zoomstream_forward_\\w+)`").FindAllStringSubmatch(readDoc(t, consumersPage), -1)
	p.says(&p.stderr, "/metrics")
	url := regexp.MustCompile(`http://[^"]+/metrics`).FindString(p.stderr.String())
	deadline := time.Now().Add(30 * time.Second)
	for want := map[string]string{"delivered_total": "2", "refused_total": "3", "dead_letters_total": "1", "removed_total": "0", "pending": "0", "in_flight": "0", "lag_seconds": "0"}; ; {
		text := scrape(t, url)
		wrong := ""
		for _, m := range documented {
			if line := fmt.Sprintf("\n%s{delivery=\"team\"} %s", m[1], want[strings.TrimPrefix(m[1], "zoomstream_forward_")]); !strings.Contains(text, line) {
				wrong += line
			}
		}
		if n := strings.Count(text, "# TYPE zoomstream_forward_"); n != len(documented) || n != len(want) {
			t.Fatalf("%d metrics, %d documented:\n%s", n, len(documented), text)
		}
		if wrong == "" {
			return
		}
		if time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		t.Fatalf("lacks %s:\n%s", wrong, text)
	}
}

// TestForwardErrors: the exit code tells what is wrong.
func TestForwardErrors(t *testing.T) {
	t.Parallel()
	url := startNATS(t).ClientURL()
	for _, c := range []struct {
		code int
		want string
		env  string
		args []string
	}{
		{exitUsage, "--to=URL is missing", "", nil},
		{exitUsage, "unencrypted http:// is allowed to this machine only", "", []string{"--to=http://hidden.example/x"}},
		{exitUsage, "must not hold a user", "", []string{"--to=https://hidden:hidden@example.com/"}},
		{exitUsage, "--parallel=65", "", []string{"--to=https://example.com/", "--parallel=65"}},
		{exitUsage, "--name", "", []string{"--to=https://example.com/", "--name=a.b"}},
		{exitUsage, "--attempts=0", "", []string{"--to=https://example.com/", "--attempts=0"}},
		{exitUsage, "--metrics=8481", "", []string{"--to=https://example.com/", "--metrics=8481"}},
		{exitUsage, "--metrics: nothing is served with --dead", "", []string{"--to=https://example.com/", "--dead", "--metrics=127.0.0.1:0"}},
		{exitUsage, "--timeout=1ms", "", []string{"--to=https://example.com/", "--timeout=1ms"}},
		{exitConfig, "ZOOMSTREAM_FORWARD_SECRET: not set", "", []string{"--to=https://example.com/"}},
		{exitFailure, "there is no stream ZOOM", "ZOOMSTREAM_FORWARD_SECRET=hidden", []string{"--to=http://hidden.example/", "--insecure-http"}},
	} {
		p := start(t, []string{"NATS_URL=" + url, c.env}, append([]string{"forward"}, c.args...)...)
		p.exit(c.code)
		if text := p.stderr.String(); !strings.Contains(text, c.want) || strings.Contains(text, "hidden:") {
			t.Errorf("%v: %s", c.args, text)
		}
	}
}

// TestForwardReadsItsSecretAgain: after SIGHUP, the next event is signed with the new secret.
func TestForwardReadsItsSecretAgain(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	signed := make(chan bool, 10)
	const latest = "must-not-leak-2"
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) //nolint:errcheck // it is then another one
		mac := hmac.New(sha256.New, []byte(latest))
		fmt.Fprintf(mac, "v0:%s:%s", r.Header.Get("x-zm-request-timestamp"), body)
		signed <- r.Header.Get("x-zm-signature") == "v0="+hex.EncodeToString(mac.Sum(nil))
	}))
	t.Cleanup(endpoint.Close)
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := func(id string) {
		s.store("zoom.meeting.started", nats.Header{nats.MsgIdHdr: {id}, "Zoom-Event": {"meeting.started"}}, []byte(id))
	}
	write("must-not-leak-1")
	store("a")
	p := start(t, []string{"NATS_URL=" + s.url, "ZOOMSTREAM_FORWARD_SECRET_FILE=" + file}, "forward", "--to="+endpoint.URL, "--since=1h")
	if <-signed {
		t.Error("it knows the secret already")
	}
	write("")
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.refused"`)
	write(latest)
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.reloaded","secrets_changed":true`)
	store("b")
	if !<-signed {
		t.Error("the event is not signed with the new secret")
	}
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	if text := p.stderr.String(); strings.Contains(text, "must-not-leak") {
		t.Errorf("it shows a secret: %s", text)
	}
}
