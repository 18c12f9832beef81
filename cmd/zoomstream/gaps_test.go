//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// shelf is a stream that a test fills by hand.
type shelf struct {
	t   *testing.T
	url string
	js  jetstream.JetStream
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, url: startNATS(t).ClientURL()}
	nc, err := nats.Connect(s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	return s
}

// store stores a message, and waits for the end of the duplicate window if it has to.
func (s *shelf) store(subject string, header nats.Header, body []byte) {
	s.t.Helper()
	for stored := false; !stored; {
		ack, err := s.js.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: body})
		if err != nil {
			s.t.Fatal(err)
		}
		stored = !ack.Duplicate
	}
}

func (s *shelf) storeGap(g message.Gap) {
	s.t.Helper()
	body, err := json.Marshal(g)
	if err != nil {
		s.t.Fatal(err)
	}
	s.store(gapSubject, nats.Header{nats.MsgIdHdr: {g.ID}}, body)
}

// run runs a command against the shelf's server to its end, and checks the exit code.
func (s *shelf) run(code int, args ...string) *program {
	s.t.Helper()
	p := start(s.t, []string{"NATS_URL=" + s.url}, args...)
	p.exit(code)
	return p
}

var (
	momentsNow  = regexp.MustCompile(`20[0-9-]+T[0-9:.]+Z`)
	storedLater = regexp.MustCompile(`([+] *|_to_stored_s": )[0-9.]+( s)?`)
)

// timeless replaces the times at which the test stored its messages.
func timeless(text string, began time.Time) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		now := false
		line = momentsNow.ReplaceAllStringFunc(line, func(moment string) string {
			if at, err := time.Parse(time.RFC3339, moment); err == nil && !at.Before(began.Truncate(time.Millisecond)) {
				now = true
				return "<now>"
			}
			return moment
		})
		if now || strings.Contains(line, "_to_stored_s") {
			line = storedLater.ReplaceAllString(line, "${1}<n>$2")
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}

func TestGaps(t *testing.T) {
	t.Parallel()
	s, began := newShelf(t), time.Now()
	at := time.Date(2026, 1, 20, 23, 59, 59, 500e6, time.UTC)
	s.storeGap(message.Gap{Subscription: "sub-1", From: at.Add(30 * time.Hour), To: at.Add(31 * time.Hour), Milliseconds: 3_600_000,
		Cause: message.GapStart, Certain: true, PreviousReplica: "pod-b", Replica: "pod-b", Epoch: 12, ID: "gap:2"})
	s.storeGap(message.Gap{Subscription: "sub-2\x1b[31m", From: at, To: at.Add(1500 * time.Millisecond), Milliseconds: 1500,
		Cause: message.GapCrash, Detail: "said\x1b]0;x\a \u202e \u009b", PreviousReplica: "pod-a", Replica: "pod-b", Epoch: 11, ID: "gap:1"})
	for _, name := range []string{"meeting.started", "meeting.ended", "phone.caller_ringing", "recording.completed", "node.server_stat", "app_deauthorized"} {
		s.store("zoom."+name, nil, zoomsim.Body(name))
	}
	since := "--since=2026-01-01T00:00:00Z"
	golden.Compare(t, "gaps.txt", timeless(s.run(exitOK, "gaps", since).stdout.String(), began))
	golden.Compare(t, "gaps.json", timeless(s.run(exitOK, "gaps", since, "--json").stdout.String(), began))
	golden.Compare(t, "gaps-subscription.txt", timeless(s.run(exitOK, "gaps", since, "--subscription=sub-1").stdout.String(), began))
	if p := s.run(exitUsage, "gaps", since, "--subscription=sub-3"); p.stdout.String() != "" ||
		!strings.HasSuffix(p.stderr.String(), `there is no subscription sub-3: it has no lease, no state and no gap; known are sub-1, sub-2\x1b[31m`+"\n") {
		t.Error(&p.stderr, &p.stdout)
	}
	if p := s.run(exitUsage, "gaps", "--subscription=sub-3", "--json"); !strings.HasPrefix(p.stdout.String(), "{\n  \"error\": \"there is no subscription sub-3") {
		t.Error(&p.stdout)
	}
	if text := s.run(exitOK, "gaps", "--subscription=sub-1").stdout.String(); !strings.HasPrefix(text, "No gaps of subscription sub-1 since ") {
		t.Error(text)
	}
	if text := s.run(exitOK, "gaps").stdout.String(); !strings.HasPrefix(text, "No gaps since ") {
		t.Error(text)
	}
}

func TestGapsErrors(t *testing.T) {
	t.Parallel()
	url := startNATS(t).ClientURL()
	for _, args := range [][]string{{"gaps"}, {"find", "x"}, {"tail"}, {"tail", "--follow"}} {
		p := start(t, []string{"NATS_URL=" + url}, args...)
		p.exit(exitFailure)
		if text := p.stderr.String(); !strings.Contains(text, "there is no stream ZOOM") || strings.Count(text, "\n") != 1 || p.stdout.String() != "" {
			t.Errorf("%v: %s%s", args, text, &p.stdout)
		}
	}
	for _, args := range [][]string{
		{"gaps", "--since=yesterday"}, {"gaps", "--since=-1h"}, {"gaps", "x"}, {"gaps", "--stream=A", "--stream=B"},
		{"find"}, {"find", ""}, {"find", " "}, {"find", "x", "--limit=0"}, {"find", "x", "--since=7"}, {"find", "x", "--stream=A", "--stream=B"},
		{"tail", "x"}, {"tail", "--since=yesterday"}, {"tail", "--kind=gaps"}, {"tail", "--event="}, {"tail", "--json", "--body"}, {"tail", "--stream=A", "--stream=B"},
	} {
		p := start(t, nil, args...)
		p.exit(exitUsage)
		if p.stderr.String() == "" || p.stdout.String() != "" {
			t.Errorf("%v: %s%s", args, &p.stderr, &p.stdout)
		}
	}
}

// TestGapsErrorsAsJSON: with --json, standard output has the errors too.
func TestGapsErrorsAsJSON(t *testing.T) {
	t.Parallel()
	url := startNATS(t).ClientURL()
	core := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1}).ClientURL()
	wants := map[string]string{url: "ZOOM", core: "JetStream is not available", "nats://127.0.0.1:1": "127.0.0.1:1"}
	for at, want := range wants {
		asked := make(map[string]*program) // all at once, since each waits for a NATS that does not exist
		for _, command := range []string{"status", "gaps", "find x", "tail", "tail --follow"} {
			asked[command] = start(t, []string{"NATS_URL=" + at}, append(strings.Fields(command), "--json")...)
		}
		for command, p := range asked {
			p.exit(exitFailure)
			var answer failure
			if err := json.Unmarshal([]byte(p.stdout.String()), &answer); err != nil || !strings.Contains(answer.Error, want) || !strings.Contains(p.stderr.String(), want) {
				t.Errorf("%s at %s: %v: %s%s", command, at, err, &p.stdout, &p.stderr)
			}
		}
	}
}

func TestGapsHelp(t *testing.T) {
	t.Parallel()
	for command, want := range map[string][]string{
		"gaps": {"Exit code 0: the gaps are listed", "Default 7d."}, "find": {"Exit code 0: something is found", "Default 24h.", "Default 50."},
		"tail":   {"Exit code 0: everything is printed", "Default: all that the stream holds"},
		"status": {"Exit code 0: replicas answer", "Default 1s."},
	} {
		p := start(t, nil, command, "--help")
		p.exit(exitOK)
		text := strings.Join(strings.Fields(p.stdout.String()), " ")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("the help of %s does not say %q", command, part)
			}
		}
	}
}

// TestGapsOfRun: gaps lists the gap of a real connector that lost its connection.
func TestGapsOfRun(t *testing.T) {
	t.Parallel()
	url := startNATS(t).ClientURL()
	sim, settings := startZoom(t)
	settings = append(settings, "NATS_URL="+url)
	start(t, settings, "run")
	await(t, sim)
	sim.Emit(testSubscription, zoomsim.Event{Name: "meeting.started"})
	bodies(t, url, 1)
	ready := sim.Summary(testSubscription).Ready
	sim.Cut(testSubscription)
	if err := sim.Wait(t.Context(), testSubscription, func(sum zoomsim.Summary) bool { return sum.Ready > ready }); err != nil {
		t.Fatal(err)
	}
	sim.Emit(testSubscription, zoomsim.Event{Name: "webinar.started"})
	bodies(t, url, 2)

	p := start(t, settings, "gaps", "--json")
	p.exit(exitOK)
	var report inspect.GapReport
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil {
		t.Fatal(err)
	}
	if report.Count != 1 || len(report.Gaps) != 1 || report.Gaps[0].Cause != "disconnected" || report.Gaps[0].Duration <= 0 || report.Gaps[0].Subscription != testSubscription {
		t.Errorf("the gaps are %s", &p.stdout)
	}
	if len(report.Families) != 2 || len(report.Sharing) != 1 || report.Sharing[0] != testSubscription || len(report.Reread) != 1 || report.Reread[0].Gaps != 1 {
		t.Errorf("to read again is %s", &p.stdout)
	}
	p = start(t, settings, "gaps", "--since=1h")
	p.exit(exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "1 gap since ") || !strings.Contains(text, "GET /report/history_meetings?from=") || strings.Contains(text, "share the stream") {
		t.Error(text)
	}
}
