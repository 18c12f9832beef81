package main

import (
	"encoding/json"
	"testing"
	"time"
)

// TestEvent: a body has the wanted size, its number and its time. A frame contains the same body,
// and each event has its own tracking id.
func TestEvent(t *testing.T) {
	now := time.Unix(1_800_000_000, 123_456_789)
	for _, size := range []int{300, 1 << 10, 16 << 10} {
		body := newBody(size)
		frame := newFrame(size)
		tracking := make(map[string]bool)
		for _, number := range []int64{1, 42, 9_999_999_999} {
			text := string(body.stamp(number, now))
			if len(text) != size || !json.Valid([]byte(text)) {
				t.Errorf("a body of %d bytes for %d: %s", len(text), size, text)
			}
			if n, sent, err := body.read([]byte(text)); n != number || sent != now.UnixNano() || err != nil {
				t.Errorf("event %d of %d is read as %d of %d, error %v", number, now.UnixNano(), n, sent, err)
			}
			var got struct {
				Content string
				Header  map[string]string
			}
			if err := json.Unmarshal(frame.stamp(number, now), &got); err != nil {
				t.Fatal(err)
			}
			if got.Content != text {
				t.Errorf("the frame's body is\n%s, not\n%s", got.Content, text)
			}
			if sent := got.Header["x-zm-request-timestamp"]; sent != "1800000000" {
				t.Errorf("the frame is of %s", sent)
			}
			tracking[got.Header["x-zm-trackingid"]] = true
		}
		if len(tracking) != 3 {
			t.Errorf("three events have the tracking ids %v", tracking)
		}
	}
}
