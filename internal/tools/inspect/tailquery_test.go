package inspect

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

func TestTailFilter(t *testing.T) {
	t.Parallel()
	const uuid = "+q/7Zk1dQvGm0yT4nB9x3A=="
	event := func(body string, headers ...string) *Message {
		m := &Message{Subject: "zoom.meeting.started", Header: nats.Header{"Zoom-Event": {"meeting.started"}}, Body: []byte(body)}
		for i := 0; i < len(headers); i += 2 {
			m.Header[headers[i]] = []string{headers[i+1]}
		}
		return m
	}
	whole := event(`{"event":"meeting.started","payload":{"account_id":"acc","object":{"id":86017254931,"uuid":"` + uuid + `","topic":"T","participant":{"id":"p","uuid":"p"}}}}`)
	list := event(`{"payload":{"object":[{"id":"1"},{"id":"2","uuid":"u2"}]}}`)
	inHeaders := event(`{"payload":{}}`, "Zoom-Account", "acc", "Zoom-Object-Id", "1", "Zoom-Object-Uuid", uuid)
	bare := &Message{Subject: "zoom.recording.completed", Body: []byte("\xff")}
	gap, unknown := &Message{Subject: "zoom._bridge.gap"}, &Message{Subject: "zoom._bridge.later"}
	kinds := func(k ...message.Kind) TailQuery { return TailQuery{Kinds: k} }
	for i, c := range []struct {
		q    TailQuery
		m    *Message
		want bool
	}{
		{TailQuery{}, whole, true},
		{TailQuery{}, bare, true},
		{TailQuery{}, unknown, true},
		{TailQuery{Events: []string{"recording.*", "meeting.started"}}, whole, true},
		{TailQuery{Events: []string{"recording.*"}}, whole, false},
		{TailQuery{Events: []string{"recording.*"}}, bare, true},
		{TailQuery{Events: []string{"recording.*"}}, gap, true},
		{TailQuery{Events: []string{"recording.*"}}, unknown, false},
		{TailQuery{Account: "acc"}, whole, true},
		{TailQuery{Account: "acc"}, inHeaders, true},
		{TailQuery{Account: "acc"}, gap, true},
		{TailQuery{Account: "ac"}, whole, false},
		{TailQuery{Account: "acc"}, list, false},
		{TailQuery{Account: "acc"}, bare, false},
		{TailQuery{Object: "86017254931"}, whole, true},
		{TailQuery{Object: uuid}, whole, true},
		{TailQuery{Object: "%252Bq%252F7Zk1dQvGm0yT4nB9x3A%253D%253D"}, whole, true},
		{TailQuery{Object: "p"}, whole, false},
		{TailQuery{Object: "T"}, whole, false},
		{TailQuery{Object: "acc"}, whole, false},
		{TailQuery{Object: "2"}, list, true},
		{TailQuery{Object: "u2"}, list, true},
		{TailQuery{Object: "3"}, list, false},
		{TailQuery{Object: "1"}, inHeaders, true},
		{TailQuery{Object: uuid}, inHeaders, true},
		{TailQuery{Object: "1", Account: "other"}, inHeaders, false},
		{kinds(message.KindGap, message.KindAlarm), gap, true},
		{kinds(message.KindGap), whole, false},
		{kinds(message.KindEvent), gap, false},
		{kinds(message.KindEvent), unknown, false},
	} {
		if got := newTailFilter(c.q, "zoom").matches(c.m); got != c.want {
			t.Errorf("%d: %+v matches %s %s: %v", i, c.q, c.m.Subject, c.m.Body, got)
		}
	}
	for m, want := range map[*Message]string{whole: "86017254931 T", list: "1 ", inHeaders: "1 ", bare: " ", event(`{"payload":{"object":{"uuid":"u","topic":5}}}`): "u 5"} {
		if id, topic := m.Object(); id+" "+topic != want {
			t.Errorf("%s is about %q, %q", m.Body, id, topic)
		}
	}
}

func TestGlobSubjects(t *testing.T) {
	t.Parallel()
	for patterns, want := range map[string]string{
		"recording.*":                  "zoom.recording%2E zoom.recording%2E.> zoom.recording.>",
		"recording.*,meeting.*.x":      "zoom.meeting%2E zoom.meeting%2E.> zoom.meeting.> zoom.recording%2E zoom.recording%2E.> zoom.recording.>",
		"meeting.started":              "zoom.meeting.started zoom.meeting.started.>",
		"meeting.started,meeting.*":    "zoom.meeting%2E zoom.meeting%2E.> zoom.meeting.>",
		"meeting,meeting.*":            "zoom.meeting zoom.meeting%2E zoom.meeting%2E.> zoom.meeting.>",
		"a.b.c,a,a-b,a.b":              "zoom.a zoom.a-b zoom.a-b.> zoom.a.>",
		"app_deauthorized,meeting.a b": "zoom.app_deauthorized zoom.app_deauthorized.> zoom.meeting.a%20b zoom.meeting.a%20b.>",
		"*":                            "zoom.>",
		"*.started,meeting.ended":      "zoom.>",
		"meet*":                        "zoom.>",
		"_odd.*":                       "zoom.>",
	} {
		if got := strings.Join(EventSubjects("zoom", strings.Split(patterns, ",")), " "); got != want {
			t.Errorf("%s is %s, not %s", patterns, got, want)
		}
	}
}

func TestTailSubjects(t *testing.T) {
	t.Parallel()
	events := []string{"recording.*", "meeting.started"}
	for i, c := range []struct {
		q    TailQuery
		want string
	}{
		{TailQuery{Object: "1"}, "zoom.>"},
		{TailQuery{Events: events}, "zoom.meeting.started zoom.meeting.started.> zoom.recording%2E zoom.recording%2E.> zoom.recording.> zoom._bridge.>"},
		{TailQuery{Events: events, Kinds: []message.Kind{message.KindEvent}}, "zoom.meeting.started zoom.meeting.started.> zoom.recording%2E zoom.recording%2E.> zoom.recording.>"},
		{TailQuery{Events: events, Kinds: []message.Kind{message.KindGap}}, "zoom._bridge.>"},
		{TailQuery{Events: []string{"*ed"}}, "zoom.>"},
	} {
		if got := strings.Join(newTailFilter(c.q, "zoom").subjects(), " "); got != c.want {
			t.Errorf("%d: %s, not %s", i, got, c.want)
		}
	}
}

// covers reports whether a NATS filter matches a subject.
func covers(filter, subject string) bool {
	if family, all := strings.CutSuffix(filter, ">"); all {
		return strings.HasPrefix(subject, family) && len(subject) > len(family)
	}
	return filter == subject
}

// delivered returns how many of the filters match a subject.
func delivered(filters []string, subject string) (n int) {
	for _, filter := range filters {
		if covers(filter, subject) {
			n++
		}
	}
	return n
}

// globbed is matchGlob in a plain and slow form.
func globbed(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return globbed(pattern[1:], name) || name != "" && globbed(pattern, name[1:])
	default:
		return name != "" && (pattern[0] == '?' || pattern[0] == name[0]) && globbed(pattern[1:], name[1:])
	}
}

// FuzzGlob: matchGlob agrees with the plain form, and the server delivers each match once.
func FuzzGlob(f *testing.F) {
	for _, name := range eventnames.All() {
		family, _, _ := strings.Cut(name, ".")
		f.Add(family+".*", name)
	}
	for _, pattern := range []string{"*", "*ed", "meeting.?*", "a*b*c", "recording.", "", "_a.*", "a..*", strings.Repeat("a", 190) + ".*"} {
		f.Add(pattern, "recording.")
		f.Add(pattern, strings.ReplaceAll(pattern, "*", "xyz"))
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Count(pattern, "*") > 5 || len(name) > 300 {
			return // too slow for the plain form
		}
		matches := matchGlob(pattern, name)
		if want := globbed(pattern, name); matches != want {
			t.Fatalf("%q matches %q: %v, and should %v", pattern, name, matches, want)
		}
		filters := EventSubjects("zoom", []string{pattern, "meeting.*", "user.created", name})
		alone := EventSubjects("zoom", []string{pattern})
		plain := subjects.Subject("zoom", name)
		for _, subject := range []string{plain, plain + "._", plain + ".%5Fa.86017254931"} { // with keys
			if n := delivered(filters, subject); n != 1 {
				t.Errorf("%d of the filters %q deliver %q", n, filters, subject)
			}
			if n := delivered(alone, subject); matches && n != 1 {
				t.Errorf("%d of the filters %q deliver %q, which %q matches", n, alone, subject, pattern)
			}
		}
	})
}

// FuzzObject: the ids of every object that encoding/json finds are found.
func FuzzObject(f *testing.F) {
	for _, body := range zoomsim.Samples() {
		f.Add(body)
	}
	f.Add([]byte(`{"payload":{"account_id":5,"object":[{"id":"1"},{"uuid":"\u0031\/2"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m := &Message{Subject: "zoom.meeting.started", Body: body}
		if id, topic := m.Object(); len(id) > message.MaxText+3 || len(topic) > message.MaxText+3 {
			t.Errorf("the id is %q, the topic %q", id, topic)
		}
		var event map[string]json.RawMessage
		var payload map[string]json.RawMessage
		var object map[string]any
		if !utf8.Valid(body) || json.Unmarshal(body, &event) != nil || json.Unmarshal(event["payload"], &payload) != nil || json.Unmarshal(payload["object"], &object) != nil {
			return
		}
		for _, member := range []string{"id", "uuid"} {
			if id, ok := object[member].(string); ok && id != "" && !newTailFilter(TailQuery{Object: id}, "zoom").matches(m) {
				t.Errorf("%q is not found in %q", id, body)
			}
		}
	})
}
