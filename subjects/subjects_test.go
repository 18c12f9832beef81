package subjects

import (
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestSubject(t *testing.T) {
	long := strings.Repeat("a", 300)
	for event, want := range map[string]string{
		"meeting.started":                      "zoom.meeting.started",
		"app_deauthorized":                     "zoom.app_deauthorized",
		"recording.transcript.completed":       "zoom.recording.transcript.completed",
		"contact_center.user_skills_assigned.": "zoom.contact_center.user_skills_assigned%2E",
		"analysis_completed ":                  "zoom.analysis_completed%20",
		"":                                     "zoom.%",
		".":                                    "zoom.%2E",
		"..":                                   "zoom.%2E%2E",
		".a":                                   "zoom.%2Ea",
		"a..b":                                 "zoom.a.%2Eb",
		"a...b":                                "zoom.a.%2E%2Eb",
		"_bridge.gap":                          "zoom.%5Fbridge.gap",
		"a._b":                                 "zoom.a._b",
		"*":                                    "zoom.%2A",
		"a.>":                                  "zoom.a.%3E",
		"$JS.API":                              "zoom.%24JS.API",
		"%2E":                                  "zoom.%252E",
		"é\x00\n":                              "zoom.%C3%A9%00%0A",
		long:                                   "zoom." + long[:166] + "%-9835fa6bf4e20a9b9ea812506302e989",
	} {
		got := Subject("zoom", event)
		if got != want {
			t.Errorf("Subject(%q) = %s, want %s", event, got, want)
		}
	}
}

func TestKnownNamesStandForThemselves(t *testing.T) {
	names, err := os.ReadFile("../internal/eventnames/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name := range strings.FieldsSeq(string(names)) {
		seen++
		if got := Subject("zoom", name); got != "zoom."+name {
			t.Errorf("Subject(%q) = %s", name, got)
		}
	}
	if seen != 596 {
		t.Errorf("read %d names, want 596", seen)
	}
}

func TestEventRefusesWhatSubjectNeverMakes(t *testing.T) {
	for _, subject := range []string{
		"zoom", "zoom.", "other.meeting.started", "zoom._bridge.gap", "zoom.a..b", "zoom.a.", "zoom.%2",
		"zoom.%2e", "zoom.%zz", "zoom.%41", "zoom.a%2Eb", "zoom._a", "zoom.a b",
		Subject("zoom", strings.Repeat("x", MaxName+1)),
	} {
		if event, ok := Event("zoom", subject); ok {
			t.Errorf("Event(%q) = %q, true", subject, event)
		}
	}
}

func TestControlKind(t *testing.T) {
	for _, kind := range []string{Gap, Malformed, Alarm, "of_a_later_version", ""} {
		if got, ok := ControlKind("zoom", Control("zoom", kind)); !ok || got != kind {
			t.Errorf("the kind of %q is %q, %t", Control("zoom", kind), got, ok)
		}
	}
	for _, subject := range []string{"zoom", "zoom.a", "zoom._bridge", "zoom._bridgex.gap", "other._bridge.gap", "zoom.a._bridge.gap", "zoom_bridge.gap", "._bridge.gap", ""} {
		if got, ok := ControlKind("zoom", subject); ok || got != "" {
			t.Errorf("%q is of kind %q, %t", subject, got, ok)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, prefix := range []string{"zoom", "a.b-c.D_1"} {
		if err := CheckPrefix(prefix); err != nil {
			t.Errorf("CheckPrefix(%q): %v", prefix, err)
		}
	}
	for _, prefix := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "$SYS", "zoom._bridge", "é"} {
		if CheckPrefix(prefix) == nil {
			t.Errorf("CheckPrefix(%q) = nil", prefix)
		}
	}
}

// FuzzSubject checks the promises of the package for any two names: the subject is valid, below the
// prefix, never a control subject, reversible unless cut, and injective.
func FuzzSubject(f *testing.F) {
	f.Add("meeting.started", "meeting.started.")
	f.Add("a..b", "a.%2Eb")
	f.Add("_bridge.gap", "%5Fbridge.gap")
	f.Add("", "%")
	f.Add(strings.Repeat("é.", 120), strings.Repeat("x", MaxName))
	f.Fuzz(func(t *testing.T, a, b string) {
		subject := Subject("zoom", a)
		if !server.IsValidPublishSubject(subject) || !strings.HasPrefix(subject, "zoom.") {
			t.Fatalf("Subject(%q) = %q is no valid subject", a, subject)
		}
		if strings.HasPrefix(subject, "zoom._") || len(subject) > len("zoom.")+MaxName {
			t.Fatalf("Subject(%q) = %q is reserved or too long", a, subject)
		}
		event, ok := Event("zoom", subject)
		if ok && event != a {
			t.Fatalf("Event(Subject(%q)) = %q", a, event)
		}
		if isCut := strings.Contains(subject, cut); ok == isCut {
			t.Fatalf("Event(%q) = %t although cut is %t", subject, ok, isCut)
		}
		if a != b && subject == Subject("zoom", b) {
			t.Fatalf("%q and %q share the subject %q", a, b, subject)
		}
		if event, ok := Event("zoom", "zoom."+a); ok && Subject("zoom", event) != "zoom."+a {
			t.Fatalf("Event(%q) = %q, which has another subject", "zoom."+a, event)
		}
	})
}
