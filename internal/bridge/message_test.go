package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// TestAllHeaders has a frame that fills every header.
func TestAllHeaders(t *testing.T) {
	b := newBridge(t)
	b.cfg.SecretToken = func() string { return "key" }
	frame := func(event string) *zoom.Frame {
		return &zoom.Frame{Event: event, Body: []byte("{}"), Received: time.Unix(1700000000, 42).In(time.FixedZone("", 3600)), Happened: time.UnixMilli(1699999999050),
			Keys:   zoom.Keys{Account: []byte("QmT7xVb2RkaLw0Zp9sYd1g"), Object: []byte("86017254931"), ObjectUUID: []byte("+q/7Zk1dQvGm0yT4nB9x3A==")},
			Header: zoom.Header{TrackingID: "id", Timestamp: "1", Signature: "v0=00", RequestID: "request", Traceparent: "00-1"}}
	}
	first := b.encoder.event(frame("meeting.started"), 1)
	for key, want := range map[string]string{
		"x-zm-trackingid": "id", "x-zm-request-timestamp": "1", "x-zm-signature": "v0=00", "x-zm-request-id": "request", "traceparent": "00-1",
		message.HeaderEvent: "meeting.started", message.HeaderSubscription: "sub", message.HeaderReceivedAt: "2023-11-14T22:13:20.000000042Z", message.HeaderEpoch: "7", message.HeaderSeq: "1", message.HeaderSignature: "invalid",
		message.HeaderEventAt: "2023-11-14T22:13:19.050Z", message.HeaderAccount: "QmT7xVb2RkaLw0Zp9sYd1g", message.HeaderObjectID: "86017254931", message.HeaderObjectUUID: "+q/7Zk1dQvGm0yT4nB9x3A==",
	} {
		if got := first.Header[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if n := len(first.Header); n != 16 { // and the message id
		t.Errorf("%d headers: %v", n, first.Header)
	}
	for key := range first.Header { // messages share memory: one's headers must not change another's
		first.Header[key] = append(first.Header[key], "changed")
	}
	if second := b.encoder.event(frame("meeting.started"), 2); second.Header.Get(message.HeaderSeq) != "2" || len(second.Header[message.HeaderEpoch]) != 1 || len(second.Header[message.HeaderEvent]) != 1 {
		t.Errorf("%v", second.Header)
	}
}

// TestAppendTime compares with the standard library's format.
func TestAppendTime(t *testing.T) {
	for _, nanoseconds := range []int64{0, 1, 10, 999_999_999, 100_000_000, 123_456_789} {
		at := time.Unix(1700000000, nanoseconds).In(time.FixedZone("", -7200))
		for digits, form := range map[int]string{9: "2006-01-02T15:04:05.000000000Z", 3: "2006-01-02T15:04:05.000Z"} {
			if got, want := string(appendTime(nil, at, digits)), at.UTC().Format(form); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
}

// TestNamesAreBounded: made-up names of events do not fill the memory.
func TestNamesAreBounded(t *testing.T) {
	b := newBridge(t)
	for i := range 3 * maxNames {
		name := fmt.Sprintf("made.up %d", i)
		msg := b.encoder.event(&zoom.Frame{Event: name, Body: []byte("{}")}, 1)
		if msg.Subject != fmt.Sprintf("zoom.made.up%%20%d", i) || msg.Header.Get(message.HeaderEvent) != name || msg.Header.Get(nats.MsgIdHdr) == "" {
			t.Fatalf("%s: %+v", name, msg)
		}
	}
	if len(b.encoder.names) > maxNames {
		t.Errorf("%d names are kept", len(b.encoder.names))
	}
}

// TestUnknownNames: an event with an unknown name is published, counted each time, and logged once.
// How many names are logged is bounded.
func TestUnknownNames(t *testing.T) {
	b := newBridge(t)
	var log syncbuf.Buffer
	b.cfg.Log = zerolog.New(&log)
	event := func(name string) {
		if msg := b.encoder.event(&zoom.Frame{Event: name, Body: []byte("{}")}, 1); msg.Subject != "zoom."+name {
			t.Errorf("%s is on %s", name, msg.Subject)
		}
	}
	for range 2 {
		event("meeting.started")
		event("meeting.teleported")
		event("telepathy.started")
	}
	if got := testutil.ToFloat64(b.cfg.Metrics.UnknownName); got != 4 {
		t.Errorf("%v are counted", got)
	}
	for line, count := range map[string]int{`"code":"event.unknown_name"`: 2, `"zoom.meeting.teleported","new_family":false`: 1, `"zoom.telepathy.started","new_family":true`: 1} {
		if got := strings.Count(log.String(), line); got != count {
			t.Errorf("%s stands %d times in\n%s", line, got, &log)
		}
	}
	for i := range 3 * maxUnknownLogged {
		event(fmt.Sprintf("telepathy.%d", i))
	}
	if got := strings.Count(log.String(), "event.unknown_name"); got != maxUnknownLogged {
		t.Errorf("%d lines", got)
	}
}

// TestKeysFitHeaders: a key that is not a valid header value, or is too long, is left out.
func TestKeysFitHeaders(t *testing.T) {
	b := newBridge(t)
	long := strings.Repeat("x", maxHeaderValue)
	for key, want := range map[string]string{
		"86017254931": "86017254931", "dkYcaonKUIC26Nsfc7o9fw==": "dkYcaonKUIC26Nsfc7o9fw==", "é 🦉": "é 🦉", long: long, "": "",
		long + "x": "", strings.Repeat("x", 1<<20): "", "a\r\nNats-Rollup: all": "", "a\x00": "", "a\u0085": "", " a": "", "a ": "", "\xff": "",
	} {
		msg := b.encoder.event(&zoom.Frame{Event: "meeting.started", Body: []byte("{}"), Keys: zoom.Keys{Account: []byte(key), Object: []byte(key), ObjectUUID: []byte(key)}}, 1)
		for _, header := range []string{message.HeaderAccount, message.HeaderObjectID, message.HeaderObjectUUID} {
			if got, there := msg.Header[header]; there != (want != "") || there && got[0] != want {
				t.Errorf("%s: %.40q becomes %.40q", header, key, got)
			}
		}
		if got, there := msg.Header[message.HeaderEventAt]; there {
			t.Errorf("of no time it says %q", got)
		}
	}
}

// TestSubjectKeys: the keys follow the name in the subject. Nothing else depends on them, least of
// all the message id.
func TestSubjectKeys(t *testing.T) {
	b := newBridge(t)
	for name, c := range map[string]struct {
		keys zoom.Keys
		want map[string]string
	}{
		"meeting.started":  {zoom.Keys{Account: []byte("Qm-1"), Object: []byte("860")}, map[string]string{"off": "", "object": ".860", "account": ".Qm-1", "account.object": ".Qm-1.860"}},
		"app_deauthorized": {zoom.Keys{}, map[string]string{"off": "", "object": "._", "account": "._", "account.object": "._._"}},
		"session.ended":    {zoom.Keys{Object: []byte("a.*/=")}, map[string]string{"object": ".a%2E%2A%2F%3D", "account.object": "._.a%2E%2A%2F%3D"}},
		"session.started":  {zoom.Keys{Account: []byte(" "), Object: []byte("a\r\nb")}, map[string]string{"account.object": "._._"}}, // the headers do not have these keys
	} {
		b.cfg.Stream.Keys = subjects.Keys{}
		frame := &zoom.Frame{Event: name, Body: []byte("{}"), Header: zoom.Header{TrackingID: "id"}, Keys: c.keys}
		plain := b.encoder.event(frame, 1)
		for text, keys := range c.want {
			var err error
			if b.cfg.Stream.Keys, err = subjects.ParseKeys(text); err != nil {
				t.Fatal(err)
			}
			msg := b.encoder.event(frame, 1)
			if msg.Subject != "zoom."+name+keys {
				t.Errorf("%s with %s is on %s", name, text, msg.Subject)
			}
			if got := b.cfg.Stream.Keys.Append("zoom."+name, msg.Header.Get(message.HeaderAccount), msg.Header.Get(message.HeaderObjectID)); got != msg.Subject {
				t.Errorf("by its headers it would be on %s", got)
			}
			if !maps.EqualFunc(msg.Header, plain.Header, slices.Equal) {
				t.Errorf("%s: %v, without keys %v", text, msg.Header, plain.Header)
			}
		}
	}
}

// TestAllocations bounds the allocations for an event. Four of the seven are the map of the
// headers.
func TestAllocations(t *testing.T) {
	b := newBridge(t)
	b.cfg.SecretToken = func() string { return "key" }
	f := &zoom.Frame{Event: "meeting.started", Body: []byte("{}"), Received: time.Now(), Happened: time.Now(),
		Keys:   zoom.Keys{Account: []byte("QmT7xVb2RkaLw0Zp9sYd1g"), Object: []byte("86017254931"), ObjectUUID: []byte("+q/7Zk1dQvGm0yT4nB9x3A==")},
		Header: zoom.Header{TrackingID: "WEB_1", Timestamp: "1700000000", Signature: "v0=" + strings.Repeat("0", 64)}}
	if n := testing.AllocsPerRun(1000, func() { msg, _ := b.receiveEvent(f); b.isRepeated(msg, f.Received) }); n > 7 {
		t.Errorf("%v", n)
	}
}
