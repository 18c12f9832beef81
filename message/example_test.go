package message_test

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
)

// A consumer of zoom.> tells events from the bridge's own messages by their subjects. Of
// a jetstream.Msg it passes Subject(), Headers() and Data(), and the Timestamp of its
// Metadata().
func Example() {
	handle := func(subject string, header nats.Header, body []byte, stored time.Time) {
		switch message.KindOf("zoom", subject) {
		case message.KindEvent:
			h := message.ParseHeaders(header)
			fmt.Printf("%s of %s, number %d of epoch %d, received %s: %s\n", h.Event, h.Subscription, h.Seq, h.Epoch, h.Received.Format(time.TimeOnly), body)
		case message.KindGap:
			if g, err := message.ParseGap(body, stored); err == nil {
				fmt.Printf("whatever Zoom sent from %s on for %s is lost: %s\n", g.From.Format(time.TimeOnly), g.Lasted(), g.Cause)
			}
		case message.KindAlarm:
			if a, err := message.ParseAlarm(body, stored); err == nil {
				fmt.Printf("alarm %s, raised: %t: %s\n", a.Name, a.Raised, a.Detail)
			}
		case message.KindMalformed:
			m := message.ParseMalformed(header, body)
			fmt.Printf("no event (%s): %s\n", m.Code, m.Reason)
		}
	}

	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	handle("zoom.meeting.started", nats.Header{
		message.HeaderID: {"WEB_1:3823edcdce820194"}, message.HeaderEvent: {"meeting.started"}, message.HeaderSubscription: {"sub-1"},
		message.HeaderReceivedAt: {"2026-11-21T09:59:58.120000000Z"}, message.HeaderEpoch: {"7"}, message.HeaderSeq: {"42"},
	}, []byte(`{"event":"meeting.started"}`), at)
	gap := message.Gap{Subscription: "sub-1", From: at, To: at.Add(300 * time.Millisecond), Cause: message.GapCrash, ID: "gap:1"}.Msg("zoom")
	handle(gap.Subject, gap.Header, gap.Data, at)
	alarm := message.Alarm{Name: message.AlarmLate, Raised: true, Subscription: "sub-1", At: at, Detail: "events are received 2h0m0s after they happened"}.Msg("zoom")
	handle(alarm.Subject, alarm.Header, alarm.Data, at)
	malformed := message.Malformed{Code: message.ReasonNotJSON, Reason: "the frame is not JSON at byte 0"}.Msg("zoom", nats.Header{message.HeaderID: {"sha256:1"}})
	handle(malformed.Subject, malformed.Header, malformed.Data, at)
	handle("zoom._bridge.of_a_later_version", nil, nil, at)
	// Output:
	// meeting.started of sub-1, number 42 of epoch 7, received 09:59:58: {"event":"meeting.started"}
	// whatever Zoom sent from 10:00:00 on for 300ms is lost: crash
	// alarm late, raised: true: events are received 2h0m0s after they happened
	// no event (not_json): the frame is not JSON at byte 0
}

func ExampleKindOf() {
	for _, subject := range []string{"zoom.meeting.started", "zoom._bridge.gap", "zoom._bridge.of_a_later_version", "orders.new"} {
		fmt.Printf("%q\n", message.KindOf("zoom", subject))
	}
	// Output:
	// "event"
	// "gap"
	// ""
	// ""
}

// A marker may be anybody's: what it says is moved into what can have been.
func ExampleParseGap() {
	stored := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	g, err := message.ParseGap([]byte(`{"subscription":"sub-1","from":"2026-11-21T09:59:00Z","to":"9999-12-31T23:59:59Z","cause":"crash"}`), stored)
	fmt.Println(g.From.Format(time.RFC3339), g.To.Format(time.RFC3339), g.Impossible, err)
	// Output:
	// 2026-11-21T09:59:00Z 2026-11-21T10:01:00Z true <nil>
}

func ExampleHappened() {
	received := time.Date(2026, 11, 21, 10, 0, 2, 0, time.UTC)
	fmt.Println(message.Happened([]byte(`{"event":"meeting.started","event_ts":1795255200250}`), received))
	fmt.Println(message.Happened([]byte(`{"event":"meeting.started","event_ts":7}`), received).IsZero())
	// Output:
	// 2026-11-21 10:00:00.25 +0000 UTC
	// true
}
