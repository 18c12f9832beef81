package inspect

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

func TestBody(t *testing.T) {
	const uuid = "+q/7Zk1dQvGm0yT4nB9x3A=="
	body := `{"payload":{"account_id":"acc","object":{"uuid":"` + uuid + `","id":"86017254931","participant":{"user_name":"A \"B\"","a.b":["x","needle"]}}},"event":"meeting.started","event_ts":1790985356750,"download_token":"token"}`
	for what, place := range map[string]string{
		uuid:                               "payload.object.uuid",
		"%2Bq%2F7Zk1dQvGm0yT4nB9x3A%3D%3D": "payload.object.uuid",
		"%252Bq%252F7Zk1dQvGm0yT4nB9x3A%253D%253D": "payload.object.uuid",
		"86017254931":             "payload.object.id",
		`A "B"`:                   "payload.object.participant.user_name",
		"needle":                  "payload.object.participant.a.b.1",
		"acc":                     "payload.account_id",
		"uuid":                    "", // a member's name
		"user_name":               "",
		"need":                    "", // part of a string
		"token":                   "", // not in the payload
		"meeting.started":         "",
		"1790985356750":           "",
		"q/7Zk1dQvGm0yT4nB9x3A==": "",
	} {
		if got := newWanted(what).body([]byte(body)); got != place {
			t.Errorf("%s is found at %q, want %q", what, got, place)
		}
	}
	for body, place := range map[string]string{
		`{"payload":{"object":{"id":86017254931}}}`:                                  "payload.object.id",
		`{"payload":{"object":{"id":86017254931.0}}}`:                                "",
		`{"payload":{"object":{"number":86017254931}}}`:                              "",
		`{"payload":{"object":{"id":"8\u00360\u003172\u00354931"}}}`:                 "payload.object.id",
		`{"payload":[{"id":"1"},{"id":"86017254931"}]}`:                              "payload.1.id",
		`{"payload":{"a":1,"a":2,"object":{"x":"` + "\xff" + `","id":86017254931}}}`: "payload.object.id",
		`{"payload":{"object":{"id":"860172549`:                                      "",
		`86017254931`:                                                                "",
		`nonsense 86017254931`:                                                       "",
		``:                                                                           "",
	} {
		if got := newWanted("86017254931").body([]byte(body)); got != place {
			t.Errorf("in %s it is found at %q, want %q", body, got, place)
		}
	}
	if got := newWanted(uuid).body([]byte(`{"payload":{"object":{"uuid":"+q\/7Zk1dQvGm0yT4nB9x3A\u003d="}}}`)); got != "payload.object.uuid" {
		t.Errorf("an escaped uuid is found at %q", got)
	}
}

// TestSamples: each string that is the uuid of a real-looking body is found there, and a foreign
// one nowhere.
func TestSamples(t *testing.T) {
	const meeting = "+q/7Zk1dQvGm0yT4nB9x3A=="
	found := 0
	for _, body := range zoomsim.Samples() {
		if place := newWanted(meeting).body(body); place == "payload.object.uuid" {
			found++
		} else if place != "" {
			t.Errorf("found at %s of %s", place, body)
		}
		if place := newWanted("AAAAAAAAAAAAAAAAAAAAAA==").body(body); place != "" {
			t.Errorf("a stranger is found at %s of %s", place, body)
		}
	}
	if found != 9 {
		t.Errorf("the meeting is found %d times, want 9", found)
	}
}

func TestHeader(t *testing.T) {
	h := nats.Header{nats.MsgIdHdr: {"WEB_1:00"}, "x-zm-trackingid": {"WEB_1"}, "x-zm-request-id": {"r"}, "Zoom-Event": {"e"}}
	for what, header := range map[string]string{"WEB_1:00": nats.MsgIdHdr, "WEB_1": "x-zm-trackingid", "WEB%5F1": "x-zm-trackingid", "r": "x-zm-request-id", "e": "Zoom-Event", "WEB": ""} {
		if got := newWanted(what).header(h); got != header {
			t.Errorf("%s is header %q, want %q", what, got, header)
		}
	}
}

// FuzzBody: every string of the payload that encoding/json finds is found.
func FuzzBody(f *testing.F) {
	for _, body := range zoomsim.Samples() {
		f.Add("+q/7Zk1dQvGm0yT4nB9x3A==", body)
	}
	f.Add("\"\n", []byte(`{"payload":{"a":"\"\n","b":"\ud800"}}`))
	f.Add("a/b", []byte(`{"payload":["a\/b"]}`))
	f.Fuzz(func(t *testing.T, what string, body []byte) {
		var event map[string]any
		if json.Unmarshal(body, &event) == nil && holdsString(event["payload"], what) && newWanted(what).body(body) == "" {
			t.Errorf("%q is not found in %q", what, body)
		}
	})
}

func holdsString(value any, what string) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(v any) bool { return holdsString(v, what) })
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), func(v any) bool { return holdsString(v, what) })
	default:
		return v == what
	}
}
