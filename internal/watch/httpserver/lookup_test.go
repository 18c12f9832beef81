package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/watch/page"
)

var wholeEvents = []string{"/event/7", "/search?what=jill&since=1h"}

// TestWholeEventsAreForThisMachine: whole events hold personal data. Tools on this machine and the
// page itself may read them; other pages and proxies may not.
func TestWholeEventsAreForThisMachine(t *testing.T) {
	h := serve(t, "127.0.0.1:0")
	const request = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n"
	for _, path := range wholeEvents {
		if got := h.get(path); got.code != http.StatusOK || !strings.Contains(got.body, "jill@example.com") {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
		for _, header := range []string{"", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"} {
			if line := h.raw(fmt.Sprintf(request, path, "localhost", header)); !strings.Contains(line, " 200 ") {
				t.Errorf("%s with %q: %q", path, header, line)
			}
		}
		for _, header := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
			"X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy"} {
			if line := h.raw(fmt.Sprintf(request, path, "localhost", header+"\r\n")); !strings.Contains(line, " 403 ") {
				t.Errorf("%s with %s: %q", path, header, line)
			}
		}
		if line := h.raw(fmt.Sprintf(request, path, "evil.example", "")); !strings.Contains(line, " 403 ") {
			t.Errorf("%s by another host's name: %q", path, line)
		}
	}
	if got := h.get("/runbook/late"); got.code != http.StatusOK || !strings.HasPrefix(got.body, "## late") {
		t.Errorf("%d %.50q", got.code, got.body)
	}
}

// TestWholeEventsBeyondLoopback: on an address beyond loopback nobody may read whole events. A
// request from this machine may come from a proxy that does not name itself.
func TestWholeEventsBeyondLoopback(t *testing.T) {
	h := serve(t, "0.0.0.0:0")
	_, port, _ := net.SplitHostPort(h.server.listener.Addr().String())
	for _, path := range wholeEvents {
		for _, name := range []string{"127.0.0.1:" + port, "localhost", "zoomstream.example"} {
			got := h.do(http.MethodGet, path, name)
			if got.code != http.StatusForbidden || !strings.Contains(got.body, "ZOOMSTREAM_HTTP_ADDR") || strings.Contains(got.body, "jill") {
				t.Errorf("%s for %s: %d %s", path, name, got.code, got.body)
			}
		}
	}
	if got := h.get("/runbook/late"); got.code != http.StatusOK { // it is no secret
		t.Errorf("%d %.50q", got.code, got.body)
	}
}

func TestMessage(t *testing.T) {
	s := newSource(t)
	s.put(2, "zoom.meeting.started", `{"n":#}`, nats.Header{"Zoom-Event": {"meeting.started"}, "Nats-Msg-Id": {""}})
	for _, direct := range []bool{false, true} { // both ways to get a message
		if _, err := s.js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, AllowDirect: direct}); err != nil {
			t.Fatal(err)
		}
		stored, err := s.Message(t.Context(), 2)
		if err != nil || stored.Seq != 2 || stored.Subject != "zoom.meeting.started" || stored.Body != "{\n  \"n\": 2\n}" || len(stored.Headers) != 2 || stored.Headers[1] != (page.Header{Name: "Zoom-Event", Value: "meeting.started"}) || time.Since(stored.At) > time.Minute {
			t.Errorf("direct: %t, %+v, %v", direct, stored, err)
		}
	}
	if stored, err := s.Message(t.Context(), 3); !errors.Is(err, page.ErrNotThere) || stored != nil {
		t.Errorf("%+v, %v", stored, err)
	}
	s.drop()
	if _, err := within(t, "Message", func(ctx context.Context) (*page.Stored, error) { return s.Message(ctx, 2) }); err == nil || errors.Is(err, page.ErrNotThere) {
		t.Errorf("without the stream: %v", err)
	}
}

func (s *source) search(what string) *page.Found {
	s.t.Helper()
	found, err := s.Search(s.t.Context(), what, time.Now().Add(-time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// TestSearch: the search finds what zoomstream find does, newest first.
func TestSearch(t *testing.T) {
	s := newSource(t)
	clients := s.server.Load().NumClients()
	happened := time.Now().Add(-2 * time.Hour).UnixMilli()
	for n := range page.MaxFound + 10 {
		header := nats.Header{"Zoom-Event": {"meeting.started"}, "Zoom-Subscription": {"sub-1"}, "Nats-Msg-Id": {fmt.Sprintf("id-%d", n)}}
		s.put(1, "zoom.meeting.started", fmt.Sprintf(`{"event":"meeting.started","event_ts":%d,"payload":{"object":{"id":86017254931,"topic":"talk %d"}}}`, happened, n), header)
	}
	s.put(1, "zoom._bridge.malformed", "id-59 is broken", nats.Header{"Zoom-Reason": {"not json"}, "Nats-Msg-Id": {"broken"}})

	found := s.search("id-59")
	if len(found.Events) != 1 || len(found.Malformed) != 0 || found.More || found.Looked != page.MaxFound+11 {
		t.Fatalf("%+v", found) // five letters are too short to search frames for
	}
	e := found.Events[0]
	if e.Seq != 60 || e.Subject != "zoom.meeting.started" || e.Event != "meeting.started" || e.Subscription != "sub-1" || e.ID != "id-59" || e.Topic != "talk 59" || e.Matched != "Nats-Msg-Id" ||
		e.At.IsZero() || e.LateSeconds == nil || *e.LateSeconds < 7000 {
		t.Errorf("%+v", e)
	}
	for what, matched := range map[string]string{"meeting.started": "Zoom-Event", "86017254931": "payload.object.id"} {
		found = s.search(what)
		if len(found.Events) != page.MaxFound || !found.More || found.Events[0].Seq != 60 || found.Events[page.MaxFound-1].Seq != 11 || found.Events[0].Matched != matched {
			t.Errorf("%s: %d, more: %t, %+v", what, len(found.Events), found.More, found.Events[0])
		}
	}
	if found = s.search("is broken"); len(found.Events) != 0 || len(found.Malformed) != 1 || !found.Malformed[0].Malformed || found.Malformed[0].Reason != "not json" || found.Malformed[0].ID != "broken" {
		t.Errorf("%+v", found)
	}
	for deadline := time.Now().Add(10 * time.Second); s.server.Load().NumClients() != clients; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, before the searches %d", s.server.Load().NumClients(), clients)
		}
	}
	if found = s.search("nothing like it"); found.Events == nil || found.Malformed == nil || len(found.Events) != 0 || found.Looked != page.MaxFound+11 {
		t.Errorf("%+v", found)
	}
}

// TestASearchEndsWithItsRequest: a search ends with its request, and leaves no consumer in the
// server.
func TestASearchEndsWithItsRequest(t *testing.T) {
	s := newSource(t)
	s.put(3000, "zoom.a", strings.Repeat("x", 10_000), nil) // more than is in flight at a time
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads := 0
	tap, err := s.js.Conn().Subscribe("$JS.API.CONSUMER.MSG.NEXT.ZOOM.*", func(*nats.Msg) {
		if reads++; reads == 2 { // the scan is under way
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Search(ctx, "nothing like it", time.Now().Add(-time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with: %v", err)
	}
	tap.Unsubscribe() //nolint:errcheck // it only looks on
	stream, err := s.js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}
