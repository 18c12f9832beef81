package inspect

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
)

// TestHops: the times and durations of an event's hops. A time that is missing or impossible is
// left out.
func TestHops(t *testing.T) {
	happened := time.Date(2026, 11, 21, 10, 0, 0, 250e6, time.UTC)
	sent, received, stored := happened.Truncate(time.Second).Add(2*time.Second), happened.Add(2*time.Second), happened.Add(2010*time.Millisecond)
	full := &Message{Stored: stored, Body: fmt.Appendf(nil, `{"event_ts":%d,"payload":{"event_ts":1}}`, happened.UnixMilli()), Header: nats.Header{
		message.HeaderSentAt: {fmt.Sprint(sent.Unix())}, message.HeaderReceivedAt: {received.Format("2006-01-02T15:04:05.000000000Z")}}}
	h := hops(full)
	if !h.Event.Equal(happened) || !h.Sent.Equal(sent) || !h.Received.Equal(received) || !h.Stored.Equal(stored) {
		t.Errorf("the times are %+v", h)
	}
	for name, pair := range map[string][2]any{
		"sent": {*h.EventToSent, 1.75}, "received": {*h.SentToReceived, 0.25}, "stored": {*h.ReceivedToStored, 0.01}, "in all": {*h.EventToStored, 2.01},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v s, want %v", name, pair[0], pair[1])
		}
	}

	none := hops(&Message{Stored: stored, Body: []byte(`{}`), Header: nats.Header{message.HeaderSentAt: {"soon"}, message.HeaderReceivedAt: {"?"}}})
	if !none.Event.IsZero() || !none.Sent.IsZero() || !none.Received.IsZero() || none.EventToSent != nil || none.SentToReceived != nil || none.ReceivedToStored != nil || none.EventToStored != nil {
		t.Errorf("of nothing it tells %+v", none)
	}

	for value, want := range map[string]time.Time{
		fmt.Sprintf("%q", fmt.Sprint(happened.UnixMilli())): happened,
		fmt.Sprint(happened.Unix()):                         {}, // in seconds
		`"290112312321"`:                                    {}, // as documented for some events
		`"2024-09-08 15:58:40"`:                             {},
		"null":                                              {},
		"1.5":                                               {},
		`{"a":1}`:                                           {},
		fmt.Sprint(happened.Add(3 * time.Hour).UnixMilli()):  {},
		fmt.Sprintf(`1,"event_ts":%d`, happened.UnixMilli()): happened, // the last one counts
	} {
		m := &Message{Stored: stored, Body: []byte(`{"event":"a","event_ts":` + value + `,"z":[{}]}`)}
		if got := hops(m).Event; !got.Equal(want) {
			t.Errorf("event_ts %s is %v, want %v", value, got, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"24h": now.Add(-24 * time.Hour), "7d": now.Add(-7 * 24 * time.Hour), "1d12h": now.Add(-36 * time.Hour), "90m": now.Add(-90 * time.Minute), "0s": now,
		"2026-11-20T09:00:00Z": now.Add(-25 * time.Hour), "2026-11-20T10:00:00+01:00": now.Add(-25 * time.Hour),
	} {
		if got, err := ParseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "-1h", "-1d", "1h2d", "2d-72h", "7dd", "99999d", "yesterday", "2026-11-20"} {
		if got, err := ParseSince(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
