package anonymize

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestBody: of everything that Zoom is known to send, nothing personal is left, and the rest is
// unchanged.
func TestBody(t *testing.T) {
	personal := strings.Fields("email name phone_number token url password passcode topic uuid user_id id Jid ip key signature title description text summary")
	k := Key{[]byte("a key")}
	for _, body := range zoomsim.Samples() {
		clean, err := k.Body(body)
		if err != nil {
			t.Fatal(err)
		}
		var was, is any
		if err := json.Unmarshal(body, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(clean, &is); err != nil {
			t.Fatal(err)
		}
		compare(t, "", was, is, func(name, was, is string) {
			for _, suffix := range personal {
				if strings.HasSuffix(name, suffix) && (was == is && was != "" || len(was) > 8 && strings.Contains(string(clean), was)) {
					t.Errorf("%s is left: %s in %s", name, was, clean)
				}
			}
			for _, same := range strings.Fields("event event_ts type status timezone start_time duration file_type recording_type file_size") {
				if name == same && was != is {
					t.Errorf("%s: %s has become %s", name, was, is)
				}
			}
		})
	}
}

// compare calls each for the strings and numbers of two JSON values. It fails the test if anything
// else differs.
func compare(t *testing.T, name string, was, is any, each func(name, was, is string)) {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		if is, ok := is.(map[string]any); !ok || len(was) != len(is) {
			t.Fatalf("%s: %v has become %v", name, was, is)
		}
		for n, v := range was {
			compare(t, n, v, is.(map[string]any)[n], each)
		}
	case []any:
		if is, ok := is.([]any); !ok || len(was) != len(is) {
			t.Fatalf("%s: %v has become %v", name, was, is)
		}
		for i, v := range was {
			compare(t, name, v, is.([]any)[i], each)
		}
	case string:
		text, ok := is.(string)
		if !ok {
			t.Fatalf("%s: %v has become %v", name, was, is)
		}
		each(name, was, text)
	case float64:
		number, ok := is.(float64)
		if !ok {
			t.Fatalf("%s: %v has become %v", name, was, is)
		}
		each(name, fmt.Sprint(was), fmt.Sprint(number))
	default:
		if was != is {
			t.Fatalf("%s: %v has become %v", name, was, is)
		}
	}
}

func TestTexts(t *testing.T) {
	k := Key{[]byte("a key")}
	for _, c := range [][3]string{ // name, value, and the beginning of its replacement
		{"join_url", "https://us02web.zoom.us/j/1?pwd=secret", "https://zoom.example.test/"},
		{"host_email", "Ada@Firm.com", "user-"},
		{"whatever", "ada@firm.com", "user-"},
		{"caller_number", "+4930123456", "+1555"},
		{"phone", "030 123 456-7", "+1555"},
		{"leave_reason", "Removed by Ada", "leave reason "},
		{"state", "Texas", "state "},
		{"extension", "4711", "extension "},
		{"comment", "write to ada@firm.com", "comment "},
		{"public_ip", "198.51.100.7", "198.18."},
		{"public_ip", "2a02:1::1", "2001:db8::"},
		{"unheard_of", "Ada", "unheard of "},
		{"user_name", "Ada", "user name "},
		{"file_extension", "MP4", "MP4"},
		{"source", "Ada Lovelace", "source "},
		{"method", "call Ada", "method "},
		{"recording", "Ada", "recording "},
		{"recording_type", "shared_screen_with_speaker_view", "shared_screen_with_speaker_view"},
		{"os", "Windows", "Windows"},
		{"timezone", "America/Los_Angeles", "America/Los_Angeles"},
		{"join_time", "2026-10-02T23:55:58Z", "2026-10-02T23:55:58Z"},
		{"latency", "134 ms", "134 ms"},
		{"date_of_birth", "1990-01-02", "date of birth "},
		{"latitude", "48.137154", "latitude "},
		{"", "bare", ""},
	} {
		got := k.Text(c[0], c[1])
		if !strings.HasPrefix(got, c[2]) || c[2] != c[1] && strings.Contains(got, c[1]) || got != k.Text(c[0], c[1]) {
			t.Errorf("%s %q: %q", c[0], c[1], got)
		}
	}
	if a, b := k.Text("email", "ADA@firm.com"), k.Text("operator", "ada@firm.com"); a != b {
		t.Errorf("one address has become %s and %s", a, b)
	}
	if k.Text("name", "Ada") == k.Text("name", "Bob") || k.Text("name", "Ada") == NewKey().Text("name", "Ada") {
		t.Error("two names have become one")
	}
}

// TestIDs: an id has the same replacement everywhere, and two ids have different ones.
func TestIDs(t *testing.T) {
	k := NewKey()
	body, err := k.Body([]byte(`{"payload":{"object":{"id":86017254931,"meeting_number":"86017254931","uuid":"+q/7Zk1dQvGm0yT4nB9x3A=="}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := k.Body([]byte(`{"ada@firm.com":{"longitude":11.575382,"total":12345678}}`)); err != nil || strings.Contains(string(body), "ada") || !strings.HasSuffix(string(body), `{"longitude":0,"total":12345678}}`) {
		t.Errorf("%s %v", body, err)
	}
	if body, err := k.Body([]byte(`{"extension":4711,"employee":4711,"size":4711}`)); err != nil || strings.Count(string(body), "4711") != 1 {
		t.Errorf("%s %v", body, err)
	}
	if want := fmt.Sprintf(`"id":%s,`, k.ID("86017254931")); !strings.Contains(string(body), want) || !strings.Contains(string(body), k.ID("+q/7Zk1dQvGm0yT4nB9x3A==")) {
		t.Errorf("%s has no %s", body, want)
	}
	seen := make(map[string]bool)
	for n := range 10_000 {
		id := k.ID(fmt.Sprint(n))
		if seen[id] || len(id) != len(fmt.Sprint(n)) || id[0] == '0' && n != 0 {
			t.Fatalf("%d has become %s", n, id)
		}
		seen[id] = true
	}
	for _, text := range []string{"", "{", `{"a"}`, "no JSON", `{"a":1`} {
		if out, err := k.Body([]byte(text)); err == nil {
			t.Errorf("%q has become %q", text, out)
		}
	}
}
