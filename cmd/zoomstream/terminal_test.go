//go:build !race

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

// hostile contains everything that a terminal would obey or hide: escapes, control characters of
// one byte and of two, marks of direction, and a line that looks like another one.
const hostile = "a\x1b]0;owned\a\x1b[2J\r\x7f\u009b31m\u202e\u200b\U000e0041z"

// obeyed returns the first place at which a terminal would do something else than show the text;
// empty if there is none.
func obeyed(text string) string {
	for i, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return fmt.Sprintf("%q", text[max(0, i-20):min(len(text), i+20)])
		}
	}
	if !utf8.ValidString(text) {
		return "no UTF-8"
	}
	return ""
}

// TestTerminalCommands: no command prints anything that a terminal would obey, whoever wrote it.
func TestTerminalCommands(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	nc, err := nats.Connect(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s.storeGap(message.Gap{Subscription: hostile, From: time.Now().Add(-time.Minute), To: time.Now(), Cause: message.GapCause(hostile), Detail: hostile,
		PreviousReplica: hostile, Replica: hostile, ID: hostile})
	s.store("zoom."+strings.ReplaceAll(hostile, "\r", ""), nil, []byte("{}"))
	header := nats.Header{nats.MsgIdHdr: {"id-1"}}
	for _, name := range []string{"Zoom-Event", "Zoom-Subscription", "Zoom-Signature", "Zoom-Reason", "Zoom-Reason-Code", "x-zm-trackingid"} {
		header.Set(name, strings.ReplaceAll(hostile, "\r", ""))
	}
	body, err := json.Marshal(map[string]any{"event": hostile, "payload": map[string]any{"object": map[string]string{"topic": hostile}}})
	if err != nil {
		t.Fatal(err)
	}
	s.store("zoom.meeting.started", header, body)
	s.store("zoom._bridge.malformed", header, []byte("\xff"+hostile))
	for _, bucket := range []string{"zoomstream", "zoomstream-state"} {
		if _, err := s.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket}); err != nil {
			t.Fatal(err)
		}
	}
	record, err := json.Marshal(map[string]any{"replica": hostile, "nonce": hostile, "host": hostile, "state": hostile, "end": hostile, "cause": hostile,
		"last_gap": map[string]any{"cause": hostile, "duration_ms": 5}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"$KV.zoomstream.lease.x", "$KV.zoomstream-state.state.x"} {
		s.store(key, nil, record)
	}
	seen := func(ids []string) []zstatus.Seen { return []zstatus.Seen{{ID: ids[0], Times: 1, Where: hostile}} }
	stop, err := zstatus.Serve(nc, zstatus.ServiceOptions{Bucket: "zoomstream", Replica: hostile, Nonce: "r", Version: "dev", Seen: seen, Status: func(bool) *zstatus.Replica {
		return &zstatus.Replica{Replica: hostile, Nonce: "r", Host: hostile, Version: hostile, Phase: hostile, HTTP: hostile, Now: time.Now(),
			Subscriptions: []zstatus.Subscription{{Subscription: hostile, Role: zstatus.Leader, State: hostile, Trouble: hostile}},
			Outbox:        zstatus.Outbox{Trouble: hostile, Disk: hostile, Stream: hostile, Spooled: 1},
			Token:         zstatus.Token{Trouble: hostile}, Alarms: []zstatus.Alarm{{Alarm: hostile, Detail: hostile, Replica: hostile}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, args := range [][]string{
		{"gaps"}, {"gaps", "--json"}, {"gaps", "--subscription=" + hostile}, {"gaps", "--subscription=" + hostile + "1"}, {"gaps", "--since=" + hostile},
		{"find", "id-1", "--body"}, {"find", "id-1", "--body", "--json"}, {"find", hostile}, {"find", "nothing" + hostile},
		{"tail"}, {"tail", "--body", "--headers"}, {"tail", "--json"}, {"tail", "--event=" + hostile}, {"tail", "--object=" + hostile, "--kind=event"}, {"tail", "--kind=" + hostile},
		{"status"}, {"status", "--json"}, {"doctor"}, {"doctor", "--json"}, {hostile}, {"sim", "--http=" + hostile},
	} {
		var stdout, stderr bytes.Buffer
		code := run(&process{ctx: t.Context(), stdout: &stdout, stderr: &stderr, environ: []string{"NATS_URL=" + s.url}}, args)
		for name, out := range map[string]*bytes.Buffer{"standard output": &stdout, "standard error": &stderr} {
			if at := obeyed(out.String()); at != "" {
				t.Errorf("%q, %s: %s", args, name, at)
			}
		}
		if stdout.Len()+stderr.Len() == 0 {
			t.Errorf("%q prints nothing, and ends with %d", args, code)
		}
	}
}

// TestTerminalDemo: the demo shows each stored message on one line.
func TestTerminalDemo(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	odd := hostile + "\nforged"
	subject := strings.NewReplacer("\r", "", "\n", "").Replace(odd)
	alarm, err := json.Marshal(map[string]any{"alarm": odd, "raised": true, "replica": odd, "detail": odd})
	if err != nil {
		t.Fatal(err)
	}
	gap, err := json.Marshal(map[string]any{"duration_ms": 5, "cause": odd})
	if err != nil {
		t.Fatal(err)
	}
	s.store("zoom."+subject, nats.Header{nats.MsgIdHdr: {subject}}, []byte("\xff"))
	s.store("zoom._bridge."+subject, nil, alarm)
	s.store("zoom._bridge.alarm", nil, alarm)
	s.store("zoom._bridge.gap", nil, gap)
	s.store("zoom._bridge.malformed", nats.Header{"Zoom-Reason": {subject}}, nil)
	consumer, err := s.js.OrderedConsumer(t.Context(), "ZOOM", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	d := &demo{process: &process{stdout: &out}} // not even through a printer
	for range 5 {
		msg, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		d.print(msg)
	}
	d.say("that failed: %s", errors.New(odd))
	lines := strings.Count(out.String(), "\n") - strings.Count(out.String(), "\n   ") // an indented line continues the one before
	if at := obeyed(out.String()); at != "" || lines != 6 {
		t.Errorf("%d lines: %s\n%q", lines, at, &out)
	}
}

// TestTerminalLog: in the log for people, each entry is one line.
func TestTerminalLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"console", "json"} {
		var out bytes.Buffer
		log := newLogger(printer{out: &out}, "info", format)
		log.Info().Str("text", hostile).Strs("list", []string{hostile}).Interface("map", map[string]string{hostile: hostile}).
			Bytes("bytes", []byte(hostile)).Err(errors.New(hostile)).Int("n", 5).Bool("yes", true).Msg(hostile + "\nforged")
		if at, lines := obeyed(out.String()), strings.Count(out.String(), "\n"); at != "" || lines != 1 || !strings.Contains(out.String(), "owned") {
			t.Errorf("%s, %d lines: %s\n%q", format, lines, at, &out)
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("no JSON: %s", &out)
		}
	}
}
