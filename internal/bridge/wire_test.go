package bridge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// TestWireBytes compares messages with those that earlier versions made of the same input, byte for
// byte: subjects, headers and bodies. The golden file contains the names of headers and JSON
// members literally, so that it shows a changed constant.
func TestWireBytes(t *testing.T) {
	b := newBridge(t)
	received := time.Date(2026, 11, 21, 10, 0, 0, 120_000_000, time.FixedZone("", 3600))
	frame := func(name, body string) *zoom.Frame {
		return &zoom.Frame{Event: name, Body: []byte(body), Received: received, Header: zoom.Header{
			TrackingID: "v=2.0;clid=us02;rid=WEB_1", Timestamp: "1795255199", Signature: "v0=00ff", RequestID: "request-1", Traceparent: "00-ab-cd-01"}}
	}
	var out strings.Builder
	add := func(what string, msg *nats.Msg) {
		fmt.Fprintf(&out, "# %s\n%s\n", what, msg.Subject)
		for _, key := range slices.Sorted(maps.Keys(msg.Header)) {
			fmt.Fprintf(&out, "  %s: %q\n", key, msg.Header[key])
		}
		fmt.Fprintf(&out, "%s\n\n", msg.Data)
	}
	seq := uint64(0)
	event := func(f *zoom.Frame) *nats.Msg {
		seq++
		return b.encoder.event(f, seq)
	}
	numbered := func(msg *nats.Msg) *nats.Msg {
		seq++
		b.encoder.setSeq(msg, seq)
		return msg
	}

	add("an event", event(frame("meeting.started", `{"event":"meeting.started"}`)))
	b.cfg.SecretToken = func() string { return "key" }
	odd := frame("_odd name.", `{"event":"_odd name."}`)
	odd.Header = zoom.Header{Timestamp: "soon"}
	add("an event of an odd name, with a wrong signature", event(odd))
	add("an event without a name", event(&zoom.Frame{Body: []byte("{}")}))

	broken := frame("", "")
	broken.Raw, broken.Size, broken.Err = []byte(`{"Authorization":"secret","module":7}`), 37, &zoom.Malformed{Reason: "module", Detail: "module is not a string but number"}
	add("a frame that is no event", numbered(b.encoder.malformed(broken)))
	broken.Size, broken.Err = 5000, errors.New("something else")
	add("a frame that was cut", numbered(b.encoder.malformed(broken)))

	small := testQuarantine(b.cfg.Quarantine.nc, Stream{Prefix: "zoom", Dedupe: dedupe.Content, MaxMessage: 2048})
	large := event(frame("recording.completed", `{"event":"recording.completed","x":"`+strings.Repeat("y", 4000)+`"}`))
	refused := small.Refused(large, errors.New("message size exceeds maximum allowed"))
	add("an event that is too large", refused)
	add("the same for a stream that takes even less", small.Refused(refused, errors.New("message size exceeds maximum allowed")))

	add("a gap", numbered(message.Gap{
		Subscription: "sub", From: received.UTC(), To: received.UTC().Add(1500 * time.Millisecond), Milliseconds: 1500, Cause: message.GapCrash, Detail: `reset by <peer> "é"`,
		PreviousReplica: "replica-2", Replica: "replica-1", Epoch: 7, ID: "gap:sub:nonce:6.2-7.1",
	}.Msg("zoom")))
	last := record.State{State: record.Disconnected, Replica: "replica-2", Nonce: "nonce", Epoch: 6, Connection: 3, End: strings.Repeat("é", 300)}
	add("a gap of this term", numbered(b.newGap(last, received, received.Add(-time.Second), 2, message.GapStart, true).Msg("zoom")))
	add("an alarm", numbered(message.Alarm{Name: "late", Raised: true, Subscription: "sub", Replica: "replica-1", Epoch: 7, At: received.UTC(), Detail: "events are late"}.Msg("zoom")))
	add("the end of a replica's alarm", message.Alarm{Name: "spool-full", Replica: "replica-1", At: received.UTC(), Detail: "it is over"}.Msg("acme.zoom"))

	keyed := frame("meeting.ended", `{"event":"meeting.ended","event_ts":1795255198050,"payload":{"account_id":"a","object":{"id":86017254931,"uuid":"+q/7=="}}}`)
	keyed.Happened, keyed.Keys = time.UnixMilli(1795255198050), zoom.Keys{Account: []byte("a"), Object: []byte("86017254931"), ObjectUUID: []byte("+q/7==")}
	add("an event whose body says whom it is about", event(keyed))

	b.cfg.Stream.CloudEvents = true
	add("an event that is a CloudEvent, too", event(keyed))

	golden.Compare(t, "messages.txt", out.String())
}
