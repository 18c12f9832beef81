//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestReload changes a secret and the log level of a running program.
func TestReload(t *testing.T) {
	t.Parallel()
	sim, zoom := startZoom(t)
	zoom = slices.DeleteFunc(zoom, func(s string) bool {
		return strings.HasPrefix(s, "ZOOM_CLIENT_SECRET=") || strings.HasPrefix(s, "ZOOMSTREAM_LOG_LEVEL=")
	})
	dir := t.TempDir()
	file, secret := filepath.Join(dir, "zoomstream.yaml"), filepath.Join(dir, "secret")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, testSecret+"\n")
	write(file, "log_level: warn\nzoom_client_secret_file: "+secret+"\n")
	p := start(t, append(zoom, "NATS_URL="+startNATS(t).ClientURL()), "run", "--config", file)
	await(t, sim)
	if text := p.stderr.String(); strings.Contains(text, `"code":"zoom.connected"`) {
		t.Errorf("at level warn it says:\n%s", text)
	}

	write(secret, "another-secret-must-not-leak\n")
	write(file, "log_level: debug\nzoom_client_secret_file: "+secret+"\n")
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.reloaded","secrets_changed":true`)
	sim.Emit(testSubscription, zoomsim.Event{Body: zoomsim.Body("meeting.started")})
	p.says(&p.stderr, `"code":"event"`)
	if sum := sim.Summary(testSubscription); sum.Ready != 1 || sum.Live != 1 {
		t.Errorf("the connection did not stay: %+v", sum)
	}

	write(secret, testSecret+"\n") // no signal tells the program
	if _, err := sim.Do("rotate?count=1"); err != nil {
		t.Fatal(err)
	}
	sim.IssueToken()
	sim.Cut(testSubscription)
	p.says(&p.stderr, `"code":"config.reread"`)
	await(t, sim)
	cut := sim.Summary(testSubscription).Ready

	write(file, "log_level: loud\n")
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.refused"`)
	if sum := sim.Summary(testSubscription); sum.Ready != cut || sum.Live != 1 {
		t.Errorf("the connection did not stay: %+v", sum)
	}
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	if strings.Contains(p.stderr.String(), "must-not-leak") {
		t.Errorf("a secret is in the log:\n%s", &p.stderr)
	}
}

// TestSystemd checks what the program tells systemd: that it is ready once it leads or stands by,
// its status, that it is alive, and that it stops.
func TestSystemd(t *testing.T) {
	t.Parallel()
	sim, zoom := startZoom(t)
	dir, err := os.MkdirTemp("", "zs") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	heard := func(until string) (all []string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for buffer := make([]byte, 4096); !slices.Contains(all, until); {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("it says %q, but not %q: %v", all, until, err)
			}
			all = append(all, strings.Split(string(buffer[:n]), "\n")...)
		}
		return all
	}
	nats := startNATS(t)
	p := start(t, append(zoom, "NATS_URL="+nats.ClientURL(), "NOTIFY_SOCKET="+dir+"/notify", "WATCHDOG_USEC=400000"), "run")
	await(t, sim)
	if all := heard("READY=1"); all[len(all)-1] != "READY=1" {
		t.Errorf("%q", all)
	}
	heard("STATUS=leads 1 of 1 subscriptions, 1 connected")
	for range 3 {
		heard("WATCHDOG=1")
	}
	p.signal(syscall.SIGTERM)
	heard("STOPPING=1")
	p.exit(exitOK)
}

// url waits until the program says where its status page is.
func (p *program) url() string {
	p.t.Helper()
	p.says(&p.stderr, `"code":"http.listening"`)
	for line := range strings.Lines(p.stderr.String()) {
		var l struct{ Code, URL string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Code == "http.listening" {
			return l.URL
		}
	}
	p.t.Fatalf("no address in:\n%s", &p.stderr)
	return ""
}

// getPage returns the status code and the body of a page.
func getPage(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestHTTP looks at the pages of a replica that waits for NATS, of a leader, and of a standby.
func TestHTTP(t *testing.T) {
	t.Parallel()
	sim, zoom := startZoom(t)
	zoom = append(zoom, "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0")
	lonely := start(t, append(zoom, "NATS_URL=nats://127.0.0.1:1"), "run")
	page := lonely.url()
	if code, text := getPage(t, page+"healthz"); code != http.StatusOK {
		t.Errorf("healthz without NATS: %d %s", code, text)
	}
	if code, text := getPage(t, page+"readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "starting") {
		t.Errorf("readyz without NATS: %d %s", code, text)
	}
	lonely.signal(syscall.SIGTERM)
	lonely.exit(exitOK)

	nats := startNATS(t)
	zoom = append(zoom, "NATS_URL="+nats.ClientURL())
	leader := start(t, append(zoom, "ZOOMSTREAM_REPLICA=one"), "run")
	await(t, sim)
	standby := start(t, append(zoom, "ZOOMSTREAM_REPLICA=two"), "run")
	for _, p := range []*program{leader, standby} {
		page := p.url()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if code, text := getPage(t, page+"readyz"); code == http.StatusOK {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("readyz: %d %s", code, text)
			}
		}
		for path, want := range map[string]string{
			"": "<title>", "metrics": fmt.Sprintf("zoomstream_leader{subscription=%q}", testSubscription), "status": `"phase": "ready"`,
			"debug/pprof/goroutine?debug=1": "goroutine profile", "livez": "ok", "-/ready": "ready", "assets/page.js": "EventSource",
		} {
			if code, text := getPage(t, page+path); code != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("/%s: %d, without %q:\n%.300s", path, code, want, text)
			} else if strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
				t.Errorf("/%s shows a secret", path)
			}
		}
	}
}
