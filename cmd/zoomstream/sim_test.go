package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/zoomtest"
)

// TestSimControlsAreForTools: no web page can cut connections, emit events or read what was sent.
// Zoom's own paths have no such restrictions.
func TestSimControlsAreForTools(t *testing.T) {
	sim := zoomsim.New(zoomsim.Options{})
	t.Cleanup(sim.Close)
	for _, server := range []struct {
		at    string
		names map[string]bool // Host header, and whether it is accepted
	}{
		{"127.0.0.1", map[string]bool{"": true, "localhost": true, "evil.example": false}},
		{"0.0.0.0", map[string]bool{"": true, "sim.example": true}},
	} {
		web := httptest.NewUnstartedServer(nil)
		web.Listener.Close()
		var err error
		if web.Listener, err = net.Listen("tcp", server.at+":0"); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
		web.Config.Handler = guarded(sim, web.Listener.Addr())
		web.Start()
		t.Cleanup(web.Close)
		ask := func(method, path, name string, header http.Header) int {
			t.Helper()
			request, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+port+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host, request.Header = name, header
			response, err := web.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			return response.StatusCode
		}
		for _, control := range [][2]string{
			{"POST", "/control/cut"}, {"POST", "/control/emit?subscription=demo&event=meeting.started&allow-nobody=true"},
			{"GET", "/control/"}, {"GET", "/control/ledger"}, {"GET", "/control/ledger/summary"},
		} {
			for name, may := range server.names {
				if code := ask(control[0], control[1], name, nil); may != (code == http.StatusOK) || !may && code != http.StatusForbidden {
					t.Errorf("%s of host %q at %s: %d", control, name, server.at, code)
				}
			}
			for _, header := range []http.Header{
				{"Origin": {"https://evil.example"}}, {"Origin": {"null"}}, {"Origin": {"http://127.0.0.1:" + port}},
				{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}},
			} {
				if code := ask(control[0], control[1], "", header); code != http.StatusForbidden {
					t.Errorf("%s with %v at %s: %d", control, header, server.at, code)
				}
			}
		}
		if code := ask("POST", "/oauth/token", "", http.Header{"Origin": {"https://evil.example"}}); code == http.StatusForbidden {
			t.Errorf("a token is refused because of a header")
		}
	}
}

// TestZoomtest: a connector in a process of its own publishes what a test emits.
func TestZoomtest(t *testing.T) {
	t.Parallel()
	sim, port := zoomtest.Start(t, zoomtest.Options{}), natstest.Port(t)
	started := time.Now()
	start(t, append(sim.Env(), natsAddr(port)), "run")
	if err := sim.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("connected after", time.Since(started))
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("zoom.meeting.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := sim.Emit("meeting.started", "payload.object.id=5"); err != nil {
		t.Fatal(err)
	}
	msg, err := sub.NextMsg(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if h := message.ParseHeaders(msg.Header); h.Event != "meeting.started" || h.ObjectID != "5" {
		t.Errorf("%+v", h)
	}

	// A recorded event keeps its tracking id at each replay. A body alone gets a new one.
	for range 2 {
		file := `{"stream_seq":1,"kind":"event","headers":{"x-zm-trackingid":"T"},"body":{"event":"a.recorded"}}` + "\n" + `{"event":"a.body"}`
		if n, err := sim.Replay(t.Context(), strings.NewReader(file), 0); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := sim.EmitBody([]byte(`{"event":"the.last"}`)); err != nil {
		t.Fatal(err)
	}
	want := []string{`{"event":"a.recorded"}`, `{"event":"a.body"}`, `{"event":"a.body"}`, `{"event":"the.last"}`}
	if got := bodies(t, nc.ConnectedUrl(), 5)[1:]; !slices.Equal(got, want) {
		t.Errorf("%q are stored, want %q", got, want)
	}
}
