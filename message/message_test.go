package message_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

var (
	stored = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	latest = stored.Add(time.Minute)       // another machine's clock may be ahead by so much
	oldest = stored.AddDate(-10, 0, -3)    // no gap begins earlier
	huge   = strings.Repeat("\u202e", 1e4) // 30,000 bytes
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		prefix, subject string
		want            message.Kind
	}{
		{"zoom", "zoom.meeting.started", message.KindEvent}, {"zoom", "zoom.%", message.KindEvent}, {"acme.zoom", "acme.zoom.a", message.KindEvent},
		{"zoom", "zoom._bridge.gap", message.KindGap}, {"zoom", "zoom._bridge.malformed", message.KindMalformed}, {"acme.zoom", "acme.zoom._bridge.alarm", message.KindAlarm},
		{"zoom", "zoom.a._bridge.gap", message.KindEvent}, {"zoom.a", "zoom.a._bridge.gap", message.KindGap}, // the prefix decides
		{"zoom", "zoom._bridge.later", ""}, {"zoom", "zoom._bridge.event", ""}, {"zoom", "zoom._bridge.", ""}, {"zoom", "zoom._bridge", ""}, {"zoom", "zoom._bridge.gap.x", ""},
		{"zoom", "zoom._later.x", ""}, {"zoom", "zoom", ""}, {"zoom", "zoom.", ""}, {"zoom", "zoomed.a", ""}, {"zoom", "a", ""}, {"zoom", "", ""}, {"acme.zoom", "zoom.a", ""},
	} {
		if got := message.KindOf(c.prefix, c.subject); got != c.want {
			t.Errorf("%s below %s is %q, want %q", c.subject, c.prefix, got, c.want)
		}
	}
	if got := message.BridgeSubjects("zoom"); got != "zoom._bridge.>" {
		t.Error(got)
	}
}

// FuzzKindOf: every event counts as an event, whatever its name.
func FuzzKindOf(f *testing.F) {
	for _, name := range []string{"meeting.started", "_bridge.gap", "", ".", strings.Repeat("x", 300)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := message.KindOf("zoom", subjects.Subject("zoom", name)); got != message.KindEvent {
			t.Errorf("%q is %q", name, got)
		}
		switch got := message.KindOf("zoom", name); got {
		case message.KindUnknown, message.KindEvent:
		default:
			if got.Subject("zoom") != name {
				t.Errorf("%q is %q", name, got)
			}
		}
	})
}

// TestRoundTrip: what Msg makes is parsed as it was.
func TestRoundTrip(t *testing.T) {
	gap := message.Gap{
		Subscription: "sub", From: stored.Add(-time.Hour), To: stored, Milliseconds: 3_600_000, Cause: message.GapKicked, Detail: `"é"`, Certain: true,
		PreviousReplica: "a", Replica: "b", Epoch: 7, ID: "gap:sub:1",
	}
	msg := gap.Msg("zoom")
	if got, err := message.ParseGap(msg.Data, stored); err != nil || got != gap || got.Lasted() != time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	if h := message.ParseHeaders(msg.Header); message.KindOf("zoom", msg.Subject) != message.KindGap || h != (message.Headers{ID: "gap:sub:1", Subscription: "sub"}) {
		t.Errorf("%s %+v", msg.Subject, h)
	}

	for _, alarm := range []message.Alarm{
		{Name: message.AlarmLate, Raised: true, Subscription: "sub", Replica: "a", Epoch: 7, At: stored, Detail: "late"},
		{Name: message.AlarmSpoolFull, Replica: "a", At: stored.Add(-time.Hour), Detail: "over"},
	} {
		msg := alarm.Msg("zoom")
		if got, err := message.ParseAlarm(msg.Data, stored); err != nil || got != alarm {
			t.Errorf("%+v, %v", got, err)
		}
		if h := message.ParseHeaders(msg.Header); message.KindOf("zoom", msg.Subject) != message.KindAlarm || h.ID == "" || h != (message.Headers{ID: h.ID, Subscription: alarm.Subscription}) {
			t.Errorf("%s %+v", msg.Subject, h)
		}
	}

	malformed := message.Malformed{Code: message.ReasonTooLarge, Reason: "too large", Size: 5000, Body: []byte("{")}
	msg = malformed.Msg("zoom", nats.Header{message.HeaderID: {"1"}, message.HeaderEvent: {"a"}})
	if got := message.ParseMalformed(msg.Header, msg.Data); !reflect.DeepEqual(got, malformed) || message.KindOf("zoom", msg.Subject) != message.KindMalformed {
		t.Errorf("%s %+v", msg.Subject, got)
	}
	if h := message.ParseHeaders(msg.Header); h != (message.Headers{ID: "1", Event: "a"}) {
		t.Errorf("%+v", h)
	}
	whole := message.Malformed{Code: message.ReasonModule, Body: []byte("x")}.Msg("zoom", nats.Header{})
	if _, there := whole.Header[message.HeaderSize]; there {
		t.Errorf("%v", whole.Header)
	}
}

func TestParseHeaders(t *testing.T) {
	got := message.ParseHeaders(nats.Header{
		message.HeaderID: {"id"}, message.HeaderEvent: {"meeting.started"}, message.HeaderSubscription: {"sub"}, message.HeaderReceivedAt: {"2026-11-21T10:00:00.000000042Z"},
		message.HeaderEpoch: {"7"}, message.HeaderSeq: {"42"}, message.HeaderSignature: {"valid"}, message.HeaderTrackingID: {"WEB_1"}, message.HeaderSentAt: {"1795255199"},
		message.HeaderZoomSignature: {"v0=00"}, message.HeaderRequestID: {"request"}, message.HeaderTraceparent: {"00-1"},
		message.HeaderAccount: {"account"}, message.HeaderObjectID: {"86017254931"}, message.HeaderObjectUUID: {"+q/7Zk1dQvGm0yT4nB9x3A=="}, message.HeaderEventAt: {"2026-11-21T09:59:58.050Z"},
	})
	want := message.Headers{
		ID: "id", Event: "meeting.started", Subscription: "sub", Received: stored.Add(42), Epoch: 7, Seq: 42, Signature: message.SignatureValid,
		TrackingID: "WEB_1", Sent: stored.Add(-time.Second), ZoomSignature: "v0=00", RequestID: "request", Traceparent: "00-1",
		Account: "account", ObjectID: "86017254931", ObjectUUID: "+q/7Zk1dQvGm0yT4nB9x3A==", Happened: stored.Add(-1950 * time.Millisecond),
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := message.ParseHeaders(nil); got != (message.Headers{}) {
		t.Errorf("of nothing it tells %+v", got)
	}
	for name, values := range map[string][]string{
		message.HeaderID: {huge}, message.HeaderSubscription: {huge}, message.HeaderTrackingID: {huge}, message.HeaderZoomSignature: {huge}, message.HeaderRequestID: {huge}, message.HeaderTraceparent: {huge}, message.HeaderAccount: {huge}, message.HeaderObjectID: {huge}, message.HeaderObjectUUID: {huge},
		message.HeaderEventAt:    {"", "1795255198050", "9999-12-31T23:59:59.000-23:59", huge},
		message.HeaderReceivedAt: {"", "soon", "0001-01-01T00:00:00.000000000Z", "2026-11-21 10:00:00Z", "9999-12-31T23:59:59.000000000-23:59", "1970-01-01T00:00:00.000000000+00:01", "2026-13-41T10:00:00.000000000Z"},
		message.HeaderEpoch:      {"", "-1", "x", "9007199254740992", "18446744073709551616"}, message.HeaderSeq: {"1e3", "0x1", " 1"},
		message.HeaderSentAt: {"", "soon", "-1", "1.5", "253402300800", "9223372036854775807"}, message.HeaderSignature: {"", "Valid", huge},
	} {
		for _, value := range values {
			if got := message.ParseHeaders(nats.Header{name: {value}}); got != (message.Headers{}) {
				t.Errorf("%s: %.40q is read as %.200s", name, value, fmt.Sprintf("%+v", got))
			}
		}
	}
}

// TestAllocations: what consumers ask about every event allocates no memory.
func TestAllocations(t *testing.T) {
	header := nats.Header{
		message.HeaderID: {"id"}, message.HeaderEvent: {"meeting.started"}, message.HeaderSubscription: {"sub"}, message.HeaderReceivedAt: {"2026-11-21T10:00:00.000000042Z"},
		message.HeaderEpoch: {"7"}, message.HeaderSeq: {"42"}, message.HeaderSentAt: {"1795255199"},
		message.HeaderAccount: {"account"}, message.HeaderObjectID: {"86017254931"}, message.HeaderEventAt: {"2026-11-21T09:59:58.050Z"},
	}
	if n := testing.AllocsPerRun(1000, func() {
		if message.KindOf("zoom", "zoom.meeting.started") != message.KindEvent || message.ParseHeaders(header).Seq != 42 {
			t.Error("it is read wrongly")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestForged: a forged message is bounded or refused.
func TestForged(t *testing.T) {
	const real = `"from":"2026-11-21T09:00:00Z","to":"2026-11-21T09:30:00Z"`
	half := stored.Add(-30 * time.Minute)
	quoted, err := json.Marshal(huge)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body       string
		from, to   time.Time
		impossible bool
	}{
		"honest":             {`{` + real + `,"duration_ms":1800000}`, stored.Add(-time.Hour), half, false},
		"a wrong duration":   {`{` + real + `,"duration_ms":-7}`, stored.Add(-time.Hour), half, false},
		"another clock":      {`{"from":"2026-11-21T09:59:00Z","to":"2026-11-21T10:00:59Z"}`, stored.Add(-time.Minute), stored.Add(59 * time.Second), false},
		"of all time":        {`{"from":"0001-01-01T00:00:00Z","to":"9999-12-31T00:00:00Z"}`, latest, latest, true},
		"of more than all":   {`{"from":"0000-01-01T00:00:00+23:59","to":"9999-12-31T23:59:59-23:59"}`, latest.Add(-10 * 365 * 24 * time.Hour), latest, true},
		"still to come":      {`{"from":"2999-01-01T00:00:00Z","to":"2998-01-01T00:00:00Z"}`, latest, latest, true},
		"backwards":          {`{"from":"2026-11-21T09:30:00Z","to":"2026-11-21T09:00:00Z"}`, stored.Add(-time.Hour), stored.Add(-time.Hour), true},
		"without a begin":    {`{"to":"2026-11-21T09:30:00Z"}`, half, half, true},
		"in another zone":    {`{"from":"2026-11-21T11:00:00+02:00","to":"2026-11-21T04:30:00-05:00"}`, stored.Add(-time.Hour), half, false},
		"long texts":         {`{` + real + `,"subscription":` + string(quoted) + `,"detail":` + string(quoted) + `}`, stored.Add(-time.Hour), half, false},
		"of a later version": {`{` + real + `,"cause":"unheard_of","covered_by":"sub-2","more":[{}]}`, stored.Add(-time.Hour), half, false},
	} {
		g, err := message.ParseGap([]byte(c.body), stored)
		if err != nil || !g.From.Equal(c.from) || !g.To.Equal(c.to) || g.Impossible != c.impossible || g.Milliseconds != c.to.Sub(c.from).Milliseconds() {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
		checkGap(t, g)
	}
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "\xff\xfe", "no object": "[]", "null": "null", "without an end": `{"from":"2026-11-21T09:00:00Z"}`, "of a year zero": `{"to":"0000-01-01T00:00:00+23:59"}`,
		"no times": `{"from":"2026-13-41T00:00:00Z","to":1}`, "torn": `{` + real, "too deep": strings.Repeat("[", 60_000), "oversized": `{` + real + `,"x":"` + strings.Repeat("y", 70_000) + `"}`,
		"an absurd epoch": `{` + real + `,"epoch":9007199254740992}`, "a negative epoch": `{` + real + `,"epoch":-1}`,
	} {
		if g, err := message.ParseGap([]byte(body), stored); err == nil || g != (message.Gap{}) || !strings.HasPrefix(err.Error(), "message: ") {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}

	for name, c := range map[string]struct {
		body string
		at   time.Time
	}{
		"honest":        {`{"alarm":"late","at":"2026-11-21T09:00:00Z"}`, stored.Add(-time.Hour)},
		"without a day": {`{"alarm":"late"}`, stored},
		"still to come": {`{"alarm":"late","at":"9999-12-31T23:59:59-23:59"}`, latest},
		"of long ago":   {`{"alarm":"late","at":"0000-01-01T00:00:00+23:59"}`, latest.Add(-10 * 365 * 24 * time.Hour)},
		"long texts":    {`{"alarm":` + string(quoted) + `,"detail":` + string(quoted) + `,"at":"2026-11-21T10:00:00Z"}`, stored},
	} {
		a, err := message.ParseAlarm([]byte(c.body), stored)
		if err != nil || !a.At.Equal(c.at) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		checkAlarm(t, a)
	}
	for name, body := range map[string]string{
		"nothing": "", "nameless": `{"at":"2026-11-21T09:00:00Z"}`, "null": "null", "an absurd epoch": `{"alarm":"late","epoch":9007199254740992}`, "oversized": `{"alarm":"` + strings.Repeat("y", 70_000) + `"}`,
	} {
		if a, err := message.ParseAlarm([]byte(body), stored); err == nil || a != (message.Alarm{}) || !strings.HasPrefix(err.Error(), "message: ") {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}

	m := message.ParseMalformed(nats.Header{message.HeaderReasonCode: {huge}, message.HeaderReason: {huge}, message.HeaderSize: {"99999999999999999999"}}, nil)
	if len(m.Code) > message.MaxText+3 || len(m.Reason) > message.MaxText+3 || m.Size != 0 {
		t.Errorf("%+v", m)
	}
	if m := message.ParseMalformed(nats.Header{message.HeaderSize: {"-5"}}, nil); m.Size != 0 || m.Code != "" {
		t.Errorf("%+v", m)
	}
}

// checkGap checks that a gap is possible and small, and that it survives being encoded and parsed.
func checkGap(t *testing.T, g message.Gap) {
	t.Helper()
	if g.From.After(g.To) || g.To.After(latest) || g.From.Before(oldest) || g.Lasted().Milliseconds() != g.Milliseconds {
		t.Errorf("a gap from %s to %s of %d ms", g.From, g.To, g.Milliseconds)
	}
	if again, err := message.ParseGap(encode(t, g), stored); err != nil || again.Impossible || !equal(again, g) {
		t.Errorf("%+v becomes %+v, %v", g, again, err)
	}
}

func checkAlarm(t *testing.T, a message.Alarm) {
	t.Helper()
	if a.At.After(latest) || a.At.Before(oldest) || a.Name == "" {
		t.Errorf("%+v", a)
	}
	if again, err := message.ParseAlarm(encode(t, a), stored); err != nil || again != a {
		t.Errorf("%+v becomes %+v, %v", a, again, err)
	}
}

func equal(a, b message.Gap) bool {
	a.Impossible, b.Impossible = false, false
	return a == b
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil || len(text) > 32<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	return text
}

func FuzzParseGap(f *testing.F) {
	f.Add([]byte(`{"subscription":"sub","from":"2026-11-21T09:00:00Z","to":"2026-11-21T09:30:00Z","duration_ms":7,"cause":"crash","detail":"é","certain":true,"epoch":7,"id":"1"}`))
	f.Add([]byte(`{"from":"0000-01-01T00:00:00+23:59","to":"9999-12-31T23:59:59-23:59"}`))
	f.Add([]byte(`{"TO":"2026-11-21T09:30:00Z","to":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if g, err := message.ParseGap(body, stored); err == nil {
			checkGap(t, g)
		}
	})
}

func FuzzParseAlarm(f *testing.F) {
	f.Add([]byte(`{"alarm":"late","raised":true,"subscription":"sub","replica":"a","epoch":7,"at":"2026-11-21T09:00:00Z","detail":"é"}`))
	f.Add([]byte(`{"alarm":"x","at":"9999-12-31T23:59:59-23:59"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a, err := message.ParseAlarm(body, stored); err == nil {
			checkAlarm(t, a)
		}
	})
}

func FuzzParseHeaders(f *testing.F) {
	f.Add("id", "2026-11-21T10:00:00.000000042Z", "7", "1795255199", "valid")
	f.Add("", "9999-12-31T23:59:59.999999999Z", "9007199254740991", "253402300799", "Valid")
	f.Fuzz(func(t *testing.T, id, received, number, sent, verdict string) {
		header := nats.Header{
			message.HeaderID: {id}, message.HeaderReceivedAt: {received}, message.HeaderEpoch: {number}, message.HeaderSeq: {number}, message.HeaderSentAt: {sent},
			message.HeaderSignature: {verdict}, message.HeaderSize: {number}, message.HeaderReason: {id}, message.HeaderObjectID: {id}, message.HeaderEventAt: {received},
		}
		h := message.ParseHeaders(header)
		if _, err := json.Marshal(h); err != nil || h.Epoch >= message.MaxNumber || h.Seq != h.Epoch || len(h.ID) > 1024 || h.ObjectID != h.ID || h.Happened != h.Received {
			t.Errorf("%+v, %v", h, err)
		}
		if m := message.ParseMalformed(header, nil); m.Size < 0 || len(m.Reason) > message.MaxText+3 {
			t.Errorf("%+v", m)
		}
	})
}

func FuzzHappened(f *testing.F) {
	for _, value := range []string{"1795255200250", `"1795255200250"`, "null", "1.5", `{"a":1}`, `1,"event_ts":1795255200250`, "1795255200250]"} {
		f.Add([]byte(`{"event":"a","event_ts":` + value + `}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if at := message.Happened(body, stored); !at.IsZero() && (at.After(stored.Add(time.Hour)) || at.Before(stored.AddDate(-1, 0, -3))) {
			t.Error(at)
		}
	})
}

func TestShort(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want string
	}{{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"aé", 2, "a…"}, {"é", 1, "…"}, {"\xff\xff\xff", 2, "\xff\xff…"}, {"\x80\x80\x80", 2, "…"}} {
		got := message.Short(c.text, c.max)
		if got != c.want || message.Short(got, c.max) != got && utf8.ValidString(c.text) {
			t.Errorf("%q, %d: %q", c.text, c.max, got)
		}
	}
}
