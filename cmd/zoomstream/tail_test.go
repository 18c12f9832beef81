//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// storeTail stores a message of each kind.
func storeTail(s *shelf) {
	s.t.Helper()
	received := time.Date(2026, 1, 20, 10, 0, 2, 250e6, time.UTC)
	event := func(name, body string, more ...string) {
		h := nats.Header{nats.MsgIdHdr: {"id:" + name}, "Zoom-Event": {name}, "Zoom-Received-At": {received.Format("2006-01-02T15:04:05.000000000Z")}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		received = received.Add(time.Second)
		s.store("zoom."+name, h, []byte(body))
	}
	event("meeting.started", `{"event":"meeting.started","payload":{"account_id":"acc","object":{"uuid":"`+testMeeting+`","id":"86017254931","topic":"Weekly review of what was said & done"}}}`)
	event("meeting.participant_joined", `{"payload":{"account_id":"acc","object":{"id":86017254931,"topic":"\u001b[31mred\nline","participant":{"user_name":"must-not-leak"}}}}`, "Zoom-Signature", "invalid")
	s.store("zoom._bridge.gap", nats.Header{"Zoom-Subscription": {"sub-1"}},
		[]byte(`{"subscription":"sub-1","from":"2026-01-20T10:00:03Z","to":"2026-01-20T10:00:04.5Z","duration_ms":1500,"cause":"crash"}`))
	event("recording.completed", `{"payload":{"account_id":"other","object":{"uuid":"67XDT3dTuEkhybIsh05c3w==","topic":"Größe  — 会議"}},"download_token":"must-not-leak"}`)
	event("user.updated", " {\n \"payload\": {\"object\": [{\"id\": \"u-1\"}, {\"id\": \"u-2\"}], \"number\": 12345678901234567890 } }\n")
	event("meeting.live_streaming_started", `{"payload":{"object":{"id":"85596457228","topic":"Planning"}}}`)
	event("odd.text", "no JSON \u202e")
	event("odd.bytes", "\xff\x00")
	event("odd.empty", "")
	event("large.body", `{"payload":{"object":{"id":"1","topic":"`+strings.Repeat("large ", 170_000)+`"}}}`)
	alarm := message.Alarm{Name: "late", Raised: true, Subscription: "sub-1", Replica: "pod-a", At: received, Detail: "most of the latest events were late"}
	s.store("zoom._bridge.alarm", nil, alarm.Msg("zoom").Data)
	s.store("zoom._bridge.malformed", nats.Header{"Zoom-Reason": {"content: unexpected end"}, "Zoom-Reason-Code": {"content"}, "Zoom-Subscription": {"sub-1"}}, []byte("must-not-leak"))
	s.store("zoom._bridge.later", nil, nil)
}

func TestTail(t *testing.T) {
	t.Parallel()
	s, began := newShelf(t), time.Now()
	storeTail(s)
	for name, args := range map[string][]string{
		"tail.txt":        nil,
		"tail-event.txt":  {"--event=recording.*,user.*,*.empty", "--kind=event"},
		"tail-object.txt": {"--object=86017254931", "--account=acc", "--headers"},
		"tail-body.txt":   {"--body", "--kind=event"},
		"tail.json":       {"--json", "--event=meeting.*,odd.*,user.*"},
	} {
		text := s.run(exitOK, append([]string{"tail"}, args...)...).stdout.String()
		golden.Compare(t, name, timeless(text, began))
		if strings.ContainsAny(text, "\x1b\u202e\x00") {
			t.Errorf("%s: a terminal would obey it: %q", name, text)
		}
		for line := range strings.Lines(text) {
			if name == "tail.txt" && !strings.Contains(line, "  -- ") && utf8.RuneCountInString(line) > 81 {
				t.Errorf("over 80 columns: %s", line)
			}
			if name == "tail.json" && !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		}
	}
	if text := s.run(exitOK, "tail", "--since=1h", "--kind=gap").stdout.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "  -- gap: 1500 ms without a connection: crash (subscription sub-1)\n") {
		t.Error(text)
	}
	p := s.run(exitOK, "tail", "--since=1h", "--event=meeting.*", "--object=5", "--kind=event")
	if text := p.stderr.String(); p.stdout.String() != "" || !strings.HasPrefix(text, "zoomstream: nothing to print: 3 messages looked at in stream ZOOM, stored since ") {
		t.Error(text, &p.stdout)
	}
}

// TestTailAnonymized: a recording has no personal data, and the simulator can replay it.
func TestTailAnonymized(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	body := `{"event":"meeting.started","payload":{"account_id":"must-not-leak","object":{"uuid":"` + testMeeting + `","id":86017254931,"topic":"must-not-leak",` +
		`"host_email":"must-not-leak@example.com","type":2}},"download_token":"must-not-leak"}`
	s.store("zoom.meeting.started.86017254931", nats.Header{
		nats.MsgIdHdr: {"must-not-leak"}, "Zoom-Event": {"meeting.started"}, "Zoom-Object-Id": {"86017254931"}, "Zoom-Account": {"must-not-leak"},
		"x-zm-trackingid": {"must-not-leak"}, "x-zm-signature": {"must-not-leak"}, "Zoom-New-Header": {"must-not-leak"},
	}, []byte(body))
	s.store("zoom._bridge.malformed", nil, []byte("must-not-leak"))
	s.store("zoom.odd.text", nil, []byte("must-not-leak"))
	p := s.run(exitOK, "tail", "--json", "--anonymize")
	text := p.stdout.String()
	var line struct {
		Subject string
		Headers map[string]string
		Body    struct {
			Payload struct{ Object struct{ ID json.Number } }
		}
	}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err, text)
	}
	for _, personal := range []string{"must-not-leak", testMeeting, "86017254931"} {
		if strings.Contains(text, personal) {
			t.Errorf("%s is in %s", personal, text)
		}
	}
	if id := line.Body.Payload.Object.ID.String(); line.Headers["Zoom-Object-Id"] != id || line.Subject != "zoom.meeting.started" {
		t.Error(text)
	}
	if got := p.stderr.String(); !strings.Contains(got, "message 3 is left out: the body is not JSON") {
		t.Error(got)
	}
	sim := zoomsim.New(zoomsim.Options{})
	defer sim.Close()
	if n, err := sim.Replay(t.Context(), "demo", strings.NewReader(text), 0); n != 1 || err != nil || sim.Ledger().Entries[0].Event != "meeting.started" {
		t.Error(n, err, sim.Ledger().Entries)
	}
	s.run(exitUsage, "tail", "--anonymize")
	s.run(exitUsage, "tail", "--anonymize", "--json", "--kind=gap")
}

// TestTailWhole: each body is printed unchanged, as JSON, as text or as bytes.
func TestTailWhole(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	bodies := []string{
		`{"a":[1.0,12345678901234567890,"<&>\u2028\ud800"]}`, "{\"terminal\":\"\u009b\u202e\"}", " [ 1 ,\n2 ] ", `"text"`, "text", "", "\xff", "{\"a\":\"\xff\"}", "null",
		`{"large":"` + strings.Repeat("x", 900_000) + `"}`, strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
	}
	for _, body := range bodies {
		s.store("zoom.meeting.started", nats.Header{"A": {"1", "2"}}, []byte(body))
	}
	dec := json.NewDecoder(strings.NewReader(s.run(exitOK, "tail", "--json").stdout.String()))
	for i, body := range bodies {
		var line map[string]json.RawMessage
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		var got string
		switch shape := fmt.Sprint(line["body"] != nil, line["body_text"] != nil, line["body_base64"] != nil); shape {
		case "true false false":
			var want bytes.Buffer
			if err := json.Compact(&want, []byte(body)); err != nil {
				t.Fatal(err)
			}
			got, body = decoded(t, line["body"]), decoded(t, want.Bytes())
		case "false true false":
			json.Unmarshal(line["body_text"], &got) //nolint:errcheck // it is then empty
		case "false false true":
			var raw []byte
			json.Unmarshal(line["body_base64"], &raw) //nolint:errcheck // it is then empty
			got = string(raw)
		default:
			t.Errorf("%d has the bodies %s", i, shape)
		}
		if got != body {
			t.Errorf("%d is %.100q, not %.100q", i, got, body)
		}
		if string(line["headers"]) != `{"A":"1, 2"}` || string(line["stream_seq"]) != fmt.Sprint(i+1) {
			t.Errorf("%d: %s %s", i, line["stream_seq"], line["headers"])
		}
	}
}

// decoded returns a value as JSON with uniform escapes, and its numbers as they were.
func decoded(t *testing.T, text []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%q", fmt.Sprint(value))
}

// TestTailFollow: tail --follow prints new messages until a signal.
func TestTailFollow(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.store("zoom.meeting.started", nil, []byte(`{}`))
	p := start(t, []string{"NATS_URL=" + s.url}, "tail", "-f", "--event=meeting.*", "--json")
	p.says(&p.stderr, "zoomstream: following stream ZOOM from message #2\n")
	s.store("zoom.meeting.ended", nil, []byte(`{}`))
	s.store("zoom.user.created", nil, []byte(`{}`))
	s.store("zoom.meeting.deleted", nil, []byte(`{}`))
	p.says(&p.stdout, `"zoom.meeting.deleted"`)
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	if text := p.stdout.String(); strings.Count(text, "\n") != 2 || strings.Contains(text, "meeting.started") || strings.Contains(text, "user.created") {
		t.Error(text)
	}
}
