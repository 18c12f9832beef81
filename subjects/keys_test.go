package subjects

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestToken(t *testing.T) {
	long := strings.Repeat("a", 65)
	for value, want := range map[string]string{
		"86017254931":              "86017254931",
		"3/fs+3QM97hIfk+4YbxfpA==": "3%2Ffs%2B3QM97hIfk%2B4YbxfpA%3D%3D",
		"-1.5E3":                   "-1%2E5E3",
		"":                         "_",
		"_":                        "%5F",
		"a_b_":                     "a_b_",
		"%":                        "%25",
		"*":                        "%2A",
		">":                        "%3E",
		"é 🦉":                      "%C3%A9%20%F0%9F%A6%89",
		long[:64]:                  long[:64],
		long:                       long[:30] + "%-635361c48bb9eab14198e76ea8ab7f1a",
	} {
		if got := Token(value); got != want {
			t.Errorf("Token(%q) = %s, want %s", value, got, want)
		}
	}
	for _, token := range []string{"", "%", "a.b", "a b", "*", ">", "%2e", "%41", "_a", "%5", "%_", Token(long), long} {
		if value, ok := Value(token); ok {
			t.Errorf("Value(%q) = %q, true", token, value)
		}
	}
}

func TestKeys(t *testing.T) {
	for name, want := range map[string]string{
		"off": "zoom.meeting.started", "object": "zoom.meeting.started.860", "account": "zoom.meeting.started.Qm%2E", "account.object": "zoom.meeting.started.Qm%2E.860",
	} {
		k, err := ParseKeys(name)
		if err != nil || k.String() != name {
			t.Errorf("%s is read as %s, %v", name, k, err)
		}
		if got := k.Append("zoom.meeting.started", "Qm.", "860"); got != want || strings.Count(got, ".")-2 != k.Count() {
			t.Errorf("%s: %s with %d keys, want %s", name, got, k.Count(), want)
		}
	}
	for _, name := range []string{"", "Object", "object.account", "uuid"} {
		if k, err := ParseKeys(name); err == nil {
			t.Errorf("%q is read as %s", name, k)
		}
	}
	one, two := Keys{Object: true}, Keys{Account: true, Object: true}
	for _, subject := range []string{
		"", "zoom", "zoom.a", "zoom._", "zoom.a.", "zoom.a.b c", "zoom.a.%2e", "zoom.a._b", "zoom._bridge.gap", "zoom._bridge", "other.a.b", "zoom.a.%-0",
		"zoom." + strings.Repeat("a", 30) + "%-" + strings.Repeat("0", 32), "zoom.a." + strings.Repeat("*", 30) + "%-" + strings.Repeat("0", 32),
	} {
		if event, ok := one.Event("zoom", subject); ok {
			t.Errorf("%s is of %q", subject, event)
		}
	}
	for subject, want := range map[string]string{"zoom.a.b": "a", "zoom.a._": "a", "zoom.a.b._": "a.b", "zoom.a._b._": "a._b", "zoom.a." + Token(strings.Repeat("é", 99)): "a"} {
		if event, ok := one.Event("zoom", subject); !ok || event != want {
			t.Errorf("%s is of %q, %t, want %q", subject, event, ok, want)
		}
	}
	if event, ok := two.Event("zoom", "zoom._bridge.gap"); ok {
		t.Errorf("a gap is the event %q", event)
	}
}

// FuzzToken checks the promises for any two values: the token is valid, one token, bounded, never
// NoKey for a key that is there, reversible unless cut, and injective.
func FuzzToken(f *testing.F) {
	f.Add("86017254931", "86017254931 ")
	f.Add("", "_")
	f.Add("a.b", "a%2Eb")
	f.Add(strings.Repeat("x", MaxToken), strings.Repeat("x", MaxToken+1))
	f.Add(strings.Repeat("é", 40), Token(strings.Repeat("é", 40)))
	f.Fuzz(func(t *testing.T, a, b string) {
		token := Token(a)
		if !server.IsValidPublishSubject("zoom."+token) || strings.Contains(token, ".") || len(token) > MaxToken || (token == NoKey) != (a == "") {
			t.Fatalf("Token(%q) = %q", a, token)
		}
		value, ok := Value(token)
		if ok && value != a || ok == isCut(token) {
			t.Fatalf("Value(Token(%q)) = %q, %t", a, value, ok)
		}
		if a != b && token == Token(b) {
			t.Fatalf("%q and %q share the token %q", a, b, token)
		}
		if value, ok := Value(a); ok && Token(value) != a {
			t.Fatalf("Value(%q) = %q, which has another token", a, value)
		}
	})
}

// FuzzKeys: the event of a subject with keys is recognised, whatever the keys are.
func FuzzKeys(f *testing.F) {
	f.Add("meeting.started", "QmT7xVb2RkaLw0Zp9sYd1g", "86017254931")
	f.Add("a._", "", "_")
	f.Add(strings.Repeat("x", 300), "a.b", strings.Repeat("é", 99))
	f.Fuzz(func(t *testing.T, event, account, object string) {
		plain := Subject("zoom", event)
		want, known := Event("zoom", plain)
		for _, k := range []Keys{{}, {Object: true}, {Account: true}, {Account: true, Object: true}} {
			subject := k.Append(plain, account, object)
			if !server.IsValidPublishSubject(subject) || strings.HasPrefix(subject, "zoom._") || len(subject) > len("zoom.")+MaxName+k.Count()*(1+MaxToken) {
				t.Fatalf("%q", subject)
			}
			if got, ok := k.Event("zoom", subject); got != want || ok != known {
				t.Fatalf("%s, %s: event %q, %t, want %q", k, subject, got, ok, want)
			}
		}
	})
}
