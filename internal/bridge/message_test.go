package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// TestAllHeaders has a frame with all that a header can tell.
func TestAllHeaders(t *testing.T) {
	b := newBridge(t)
	b.cfg.SecretToken = func() string { return "key" }
	frame := func(event string) *zoom.Frame {
		return &zoom.Frame{Event: event, Body: []byte("{}"), Received: time.Unix(1700000000, 42).In(time.FixedZone("", 3600)),
			Header: zoom.Header{TrackingID: "id", Timestamp: "1", Signature: "v0=00", RequestID: "request", Traceparent: "00-1"}}
	}
	first := b.encoder.event(frame("meeting.started"), 1)
	for key, want := range map[string]string{
		"x-zm-trackingid": "id", "x-zm-request-timestamp": "1", "x-zm-signature": "v0=00", "x-zm-request-id": "request", "traceparent": "00-1",
		message.HeaderEvent: "meeting.started", message.HeaderSubscription: "sub", message.HeaderReceivedAt: "2023-11-14T22:13:20.000000042Z", message.HeaderEpoch: "7", message.HeaderSeq: "1", message.HeaderSignature: "invalid",
	} {
		if got := first.Header[key]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if n := len(first.Header); n != 12 { // and the id
		t.Errorf("%d headers: %v", n, first.Header)
	}
	for key := range first.Header { // messages share memory
		first.Header[key] = append(first.Header[key], "changed")
	}
	if second := b.encoder.event(frame("meeting.started"), 2); second.Header.Get(message.HeaderSeq) != "2" || len(second.Header[message.HeaderEpoch]) != 1 || len(second.Header[message.HeaderEvent]) != 1 {
		t.Errorf("%v", second.Header)
	}
}

// TestReceivedAt compares with the form that the standard library makes.
func TestReceivedAt(t *testing.T) {
	for _, nanoseconds := range []int64{0, 1, 10, 999_999_999, 100_000_000, 123_456_789} {
		at := time.Unix(1700000000, nanoseconds).In(time.FixedZone("", -7200))
		if got, want := string(appendReceivedAt(nil, at)), at.UTC().Format(receivedAt); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestNamesAreBounded: whoever makes up names of events fills no memory with them.
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

// TestAllocations: what an event costs is known. Four of the seven allocations are the
// map of the headers.
func TestAllocations(t *testing.T) {
	b := newBridge(t)
	b.cfg.SecretToken = func() string { return "key" }
	f := &zoom.Frame{Event: "meeting.started", Body: []byte("{}"), Received: time.Now(),
		Header: zoom.Header{TrackingID: "WEB_1", Timestamp: "1700000000", Signature: "v0=" + strings.Repeat("0", 64)}}
	if n := testing.AllocsPerRun(1000, func() { msg, _ := b.receiveEvent(f); b.isRepeated(msg, f.Received) }); n > 7 {
		t.Errorf("%v", n)
	}
}
