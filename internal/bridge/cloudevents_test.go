package bridge

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// TestCloudEvents: an event has the attributes that the NATS binding of CloudEvents requires. Other
// messages have none.
func TestCloudEvents(t *testing.T) {
	b := newBridge(t)
	attributes := func(header map[string][]string) map[string]string {
		found := make(map[string]string)
		for key, values := range header {
			if strings.HasPrefix(key, cloudEventsPrefix) {
				found[key] = values[0]
			}
		}
		return found
	}
	frame := &zoom.Frame{
		Event: "meeting.started", Body: []byte("{}"), Received: time.Unix(1700000000, 42), Happened: time.UnixMilli(1699999999050),
		Keys: zoom.Keys{Object: []byte("860 1725\"%é")}, Header: zoom.Header{TrackingID: "id"},
	}
	if found := attributes(b.encoder.event(frame, 1).Header); len(found) > 0 {
		t.Errorf("without the setting: %v", found)
	}

	b.cfg.Stream.CloudEvents = true
	event := b.encoder.event(frame, 2)
	want := map[string]string{
		"ce-specversion": "1.0", "ce-id": event.Header.Get(message.HeaderID), "ce-source": "//zoom.us/subscriptions/sub", "ce-type": "meeting.started",
		"ce-time": "2023-11-14T22:13:19.050Z", "ce-datacontenttype": "application/json", "ce-subject": "860%201725%22%25%C3%A9",
	}
	found := attributes(event.Header)
	for key, value := range want {
		if found[key] != value {
			t.Errorf("%s: %q, want %q", key, found[key], value)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%v", found)
	}
	if _, err := url.Parse(found["ce-source"]); err != nil {
		t.Error(err)
	}

	frame.Happened, frame.Keys = time.Time{}, zoom.Keys{}
	found = attributes(b.encoder.event(frame, 3).Header)
	if _, ok := found["ce-subject"]; ok || found["ce-time"] != "2023-11-14T22:13:20.000000042Z" {
		t.Errorf("without a time and an object: %v", found)
	}

	for what, msg := range map[string]map[string][]string{
		"too large": b.cfg.Quarantine.Refused(event, errors.New("message size exceeds maximum allowed")).Header,
		"malformed": b.encoder.malformed(&zoom.Frame{Raw: []byte("{"), Err: errors.New("no JSON")}).Header,
	} {
		if found := attributes(msg); len(found) > 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
	if len(attributes(event.Header)) == 0 {
		t.Error("the refused event has lost its headers")
	}
}
