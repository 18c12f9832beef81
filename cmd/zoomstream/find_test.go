//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

const testMeeting = "+q/7Zk1dQvGm0yT4nB9x3A=="

func TestFind(t *testing.T) {
	t.Parallel()
	s, began := newShelf(t), time.Now()
	happened := time.Date(2026, 1, 20, 10, 0, 0, 250e6, time.UTC)
	header := func(id string, more ...string) nats.Header {
		h := nats.Header{
			nats.MsgIdHdr: {id}, "x-zm-trackingid": {"EventService_1_3"}, "Zoom-Event": {"meeting.started"}, "Zoom-Subscription": {"sub-1"},
			"x-zm-request-timestamp": {fmt.Sprint(happened.Unix() + 2)}, "Zoom-Received-At": {happened.Add(2 * time.Second).Format(time.RFC3339Nano)},
			"Zoom-Epoch": {"4711"}, "Zoom-Seq": {"12"},
		}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	body := func(ts, topic string) []byte {
		return fmt.Appendf(nil, `{"event":"meeting.started","event_ts":%s,"payload":{"account_id":"acc","object":{"uuid":%q,"id":"86017254931","topic":%q,"join_url":"https://zoom.us/j/1?pwd=must-not-leak"}}}`,
			ts, testMeeting, topic)
	}
	s.store("zoom.meeting.started", header("EventService_1_3:0000000000000001"), body(fmt.Sprint(happened.UnixMilli()), `must-not-leak \u001b[31m`))
	s.store("zoom.meeting.ended", header("EventService_1_3:0000000000000002", "Zoom-Event", "meeting.ended", "Zoom-Signature", "invalid"), []byte(`{"payload":{}}`))
	s.store("zoom.meeting.sharing_started", header("sha256:3", "x-zm-trackingid", "", "x-zm-request-timestamp", "", "Zoom-Event", "meeting.sharing_started"),
		body(fmt.Sprintf("%q", fmt.Sprint(happened.UnixMilli())), "must-not-leak"))
	s.store("zoom._bridge.malformed", header("EventService_1_3:0000000000000004", "Zoom-Reason", "content: unexpected end", "Zoom-Reason-Code", "content"), []byte("must-not-leak"))
	for range 2 {
		s.store("zoom.meeting.alert", header("EventService_2_3:0000000000000006", "x-zm-trackingid", "EventService_2_3"), []byte("{}"))
	}
	s.store("zoom.odd", nil, []byte("{\"payload\":{\"\\u001b[31m\u202e\":\"needle\"}}"))

	since := "--since=2026-01-01T00:00:00Z"
	for name, args := range map[string][]string{
		"find-uuid.txt":     {testMeeting},
		"find-uuid.json":    {testMeeting, "--json"},
		"find-tracking.txt": {"EventService_1_3"},
		"find-id.txt":       {"EventService_1_3:0000000000000002", "--limit=1"},
		"find-body.txt":     {"sha256:3", "--body"},
		"find-body.json":    {"86017254931", "--limit=1", "--json", "--body"},
		"find-again.txt":    {"EventService_2_3:0000000000000006"},
		"find-odd.txt":      {"needle", "--body"},
	} {
		text := s.run(exitOK, append([]string{"find", since}, args...)...).stdout.String()
		golden.Compare(t, name, timeless(text, began))
		if strings.Contains(text, "must-not-leak") != strings.Contains(name, "body") {
			t.Errorf("%s: the body is shown, or not:\n%s", name, text)
		}
		if strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%s: a terminal would obey it: %q", name, text)
		}
	}
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for range 2 {
		s.store("zoom.meeting.started", nil, zoomsim.Body("meeting.started"))
	}
	p := s.run(exitFailure, "find", "nothing\x1b")
	if text := p.stderr.String(); !strings.HasPrefix(text, `zoomstream: "nothing\x1b" is not found: 2 messages looked at in stream ZOOM, stored since `) ||
		!strings.Contains(text, "Z. The stream does not reach back that far: its oldest message is from ") ||
		!strings.Contains(text, "Z; no gap in that time; no replica answers: what waits in a spool is not known\n") || strings.Count(text, "\n") != 1 || p.stdout.String() != "" {
		t.Errorf("%s%s", text, &p.stdout)
	}
	for n := range 4 {
		from := time.Now().Add(-time.Hour * time.Duration(n+1))
		s.storeGap(message.Gap{Subscription: "sub-1", From: from, To: from.Add(time.Second), ID: fmt.Sprint("gap:", n)})
	}
	p = s.run(exitFailure, "find", "nothing", "--json")
	if text := p.stderr.String(); !strings.Contains(text, "4 gaps in that time") || !strings.Contains(text, "the last ones: ") || strings.Count(text, " for 1s") != 3 ||
		!strings.Contains(text, "zoomstream gaps") || strings.Count(text, "\n") != 1 {
		t.Error(text)
	}
	var answer found
	if err := json.Unmarshal([]byte(p.stdout.String()), &answer); err != nil || len(answer.Gaps) != 4 || answer.Findings.Looked != 6 || len(answer.Matches) != 0 {
		t.Errorf("%v: %s", err, &p.stdout)
	}
}

// TestFindWaiting: find says when an event may not be in the stream yet.
func TestFindWaiting(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.store("zoom.meeting.started", nil, zoomsim.Body("meeting.started"))
	nc, err := nats.Connect(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var mu sync.Mutex
	var there []string // find waits for the answers of all known replicas, so they must know each other first
	serve := func(name string, p zstatus.Outbox, gone ...zstatus.Other) {
		t.Helper()
		stop, err := zstatus.Serve(nc, zstatus.ServiceOptions{Bucket: "zoomstream", Replica: name, Nonce: name, Version: "dev", Status: func(bool) *zstatus.Replica {
			mu.Lock()
			defer mu.Unlock()
			others := slices.Clone(gone)
			for _, other := range there {
				if other != name {
					others = append(others, zstatus.Other{Replica: other, Nonce: other, Heard: time.Now()})
				}
			}
			return &zstatus.Replica{Replica: name, Nonce: name, Now: time.Now(), Outbox: p, Others: others}
		}})
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		mu.Lock()
		defer mu.Unlock()
		there = append(there, name)
	}
	find := func() string {
		t.Helper()
		return s.run(exitFailure, "find", "nothing", "--since=0s").stderr.String()
	}
	serve("r1", zstatus.Outbox{})
	if text := find(); !strings.HasSuffix(text, "Z; no gap in that time: Zoom has not sent it, or it is older\n") || strings.Contains(text, "reach back") {
		t.Error(text)
	}
	serve("r2", zstatus.Outbox{Spooled: 3, InFlight: 2})
	serve("r3", zstatus.Outbox{InFlight: 1}, zstatus.Other{Replica: "r4", Nonce: "r4", Heard: time.Now().Add(-time.Minute)})
	if text := find(); !strings.HasSuffix(text, `; no gap in that time; 3 messages wait in r2's spool, and are not in the stream yet; `+
		"1 message is on the way from r3, and is not in the stream yet; r4 does not answer: what waits in its spool is not known\n") {
		t.Error(text)
	}
	p := s.run(exitFailure, "find", "nothing", "--json")
	var answer found
	if err := json.Unmarshal([]byte(p.stdout.String()), &answer); err != nil || answer.Waiting == nil || !answer.Waiting.Known ||
		!slices.Equal(answer.Waiting.Replicas, []waiter{{"r2", 3, 2}, {"r3", 0, 1}}) || !slices.Equal(answer.Waiting.Silent, []string{"r4"}) {
		t.Errorf("%v: %s", err, &p.stdout)
	}
}

// TestFindOfRun: find shows what a real connector has stored, and what it could not store.
func TestFindOfRun(t *testing.T) {
	t.Parallel()
	url := startNATS(t).ClientURL()
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+url)
	start(t, settings, "run")
	await(t, sim)
	const tracking = "v=2.0;clid=us02;rid=WEB_5f1d3c0e8a7b4d2f9c6e1a0b3d4c5e6f"
	body := fmt.Appendf(nil, `{"event":"meeting.started","event_ts":%d,"payload":{"object":{"uuid":%q}}}`, time.Now().Add(-90*time.Second).UnixMilli(), testMeeting)
	sim.Emit(testSubscription, zoomsim.Event{Body: body, TrackingID: tracking, Repeat: 3})
	sim.Emit(testSubscription, zoomsim.Event{Body: zoomsim.Body("recording.completed"), TrackingID: tracking})
	sim.Emit(testSubscription, zoomsim.Event{Body: []byte(`{"payload":{"object":{"uuid":"` + testMeeting + `"}}}`), TrackingID: tracking}) // not an event
	bodies(t, url, 3)

	p := start(t, settings, "find", "%252Bq%252F7Zk1dQvGm0yT4nB9x3A%253D%253D", "--json")
	p.exit(exitOK)
	var answer found
	if err := json.Unmarshal([]byte(p.stdout.String()), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Matches) != 2 || len(answer.Malformed) != 1 {
		t.Fatalf("it finds %s", &p.stdout)
	}
	m := answer.Matches[0]
	if m.TrackingID != tracking || m.Subject != "zoom.meeting.started" || m.Event != "meeting.started" || m.Subscription != testSubscription || m.Epoch == 0 || m.Seq != 1 {
		t.Errorf("the match is %+v", m)
	}
	h := m.Hops
	if h.EventToSent == nil || *h.EventToSent < 85 || *h.EventToSent > 120 || h.SentToReceived == nil || h.ReceivedToStored == nil || *h.EventToStored < 90 {
		t.Errorf("its way is %s", &p.stdout)
	}
	again := answer.Repetitions
	if !again.Known || len(again.Answers) != 1 || len(again.Answers[0].Seen) != 1 || again.Answers[0].Seen[0].ID != m.MessageID || again.Answers[0].Seen[0].Times != 2 {
		t.Errorf("the repetitions are %+v", again)
	}
	p = start(t, settings, "find", tracking)
	p.exit(exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "events of one operation") || !strings.Contains(text, "recognised by ") || !strings.Contains(text, "A malformed frame with it, ") || !strings.Contains(text, "2 messages found; 3 messages looked at") {
		t.Error(text)
	}
}
