package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

func newBridge(t testing.TB) *Bridge {
	t.Helper()
	s := natstest.Start(t, &server.Options{DontListen: true})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return New(newJetStream(t, nc), nil, testConfig(t, nc, zerolog.Nop()))
}

// TestMask cuts each text at every byte: no part of a credential may show that is longer than two
// bytes.
func TestMask(t *testing.T) {
	q := &Quarantine{secrets: func() []string { return []string{"known-secret", "", "x"} }}
	const secret = "s3cr3t-value"
	for _, frame := range []string{
		`{"header":{"Authorization":"` + secret + `","clientId":"` + secret + `"},"module":7}`,
		`{"header":{"authorization" : "` + secret + `" , "CLIENTID":"` + secret + `"`,
		`{"Authorization":["Bearer ` + secret + `"],"clientId":{"a":"` + secret + `"}}`,
		`{"Authorization":` + secret + `,"clientId":` + secret + `}`,
		`"{\"header\":{\"Authorization\":\"` + secret + `\",\"clientId\":\"` + secret + `\"}}"`,
		`"\"{\\\"Authorization\\\":\\\"` + secret + `\\\"}\""`,
		`{'Authorization': '` + secret + `', 'x': 1}`,
		"GET / HTTP/1.1\r\nAuthorization: Bearer " + secret + "\r\nclientId: " + secret + "\r\n",
		`{"authorization":["a]","` + secret + `"],"a":{"b":1}}`,
		`{"authorization":{"a":{"b":1},"c":"` + secret + `"}}`,
		`"{\n \"Authorization\"\n:\n\"` + secret + `\"}"`,
		`{"access_token":"a\"` + secret + `","client_secret":"\\` + secret + `"}`,
	} {
		for cut := range len(frame) + 1 {
			masked := q.mask([]byte(frame[:cut]))
			if bytes.Contains(masked, []byte(secret[:3])) {
				t.Fatalf("%s\nis masked as\n%s", frame[:cut], masked)
			}
		}
		if masked := string(q.mask([]byte(frame))); !strings.Contains(masked, "***") {
			t.Errorf("%s is not masked: %s", frame, masked)
		}
	}
	if got := string(q.mask([]byte("\xff known-secret {\"event\":\"x\",\"authorizations\":1}"))); got != "\xff *** {\"event\":\"x\",\"authorizations\":1}" {
		t.Errorf("%q", got)
	}
}

// FuzzMask: masking ends, never panics, and removes the secrets that it knows.
func FuzzMask(f *testing.F) {
	f.Add([]byte(`{"Authorization":"a","clientId":[1,2`))
	f.Add([]byte(`\"authorization\":\"known-secret\\`))
	q := &Quarantine{secrets: func() []string { return []string{"known-secret"} }}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Contains(q.mask(raw), []byte("known-secret")) {
			t.Fatalf("%q", raw)
		}
	})
}

func TestHostileHeaderValues(t *testing.T) {
	b := newBridge(t)
	for _, c := range []struct{ value, want string }{
		{"v=2.0;clid=us02;rid=WEB_1", "v=2.0;clid=us02;rid=WEB_1"},
		{"a\r\nNats-Rollup: all", ""}, {strings.Repeat("x", maxHeaderValue+1), ""}, {" a", ""}, {"\xff", ""}, {"", ""},
	} {
		msg := b.encoder.event(&zoom.Frame{Event: "meeting.started", Body: []byte("{}"), Header: zoom.Header{TrackingID: c.value}}, 1)
		if got := msg.Header.Values("x-zm-trackingid"); len(got) > 1 || strings.Join(got, "") != c.want {
			t.Errorf("%q becomes %q", c.value, got)
		}
		if id := msg.Header.Get(nats.MsgIdHdr); strings.ContainsAny(id, "\r\n ") || !utf8.ValidString(id) || id == "" || len(id) > 150 {
			t.Errorf("%q gives the id %q", c.value, id)
		}
	}
}

func TestEventNameInHeader(t *testing.T) {
	b := newBridge(t)
	for name, want := range map[string]string{
		"meeting.started": "meeting.started", "évent.x": "évent.x",
		"completed ": "completed%20", "a\nb": "a%0Ab", "\xff": "%FF",
	} {
		msg := b.encoder.event(&zoom.Frame{Event: name, Body: []byte("{}")}, 1)
		if got := msg.Header.Get(message.HeaderEvent); got != want {
			t.Errorf("%q: header %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("long_name.", 50) + "end"
	if got := b.encoder.event(&zoom.Frame{Event: long, Body: []byte("{}")}, 1).Header.Get(message.HeaderEvent); got != long {
		t.Errorf("the header cuts the name as the subject does: %q", got)
	}
}

func TestStampCounts(t *testing.T) {
	b := newBridge(t)
	for want := range 3 {
		msg := b.encoder.malformed(&zoom.Frame{Raw: []byte("x"), Size: 1, Err: &zoom.Malformed{Reason: "not_json", Detail: "d"}})
		b.encoder.setSeq(msg, uint64(want)+1)
		if msg.Header.Get(message.HeaderEpoch) != "7" || msg.Header.Get(message.HeaderSeq) != fmt.Sprint(want+1) || msg.Header.Get(message.HeaderReasonCode) != "not_json" {
			t.Errorf("%v", msg.Header)
		}
	}
}

// TestPauses: pauses grow until a session was useful, are long after a displacement, and honour
// Zoom's Retry-After.
func TestPauses(t *testing.T) {
	p := newRedialBackoff()
	lost := &zoom.Error{Cause: zoom.CauseReset}
	var last time.Duration
	for range 20 {
		last = p.next(false, lost)
	}
	if last < 10*time.Second || last > 45*time.Second {
		t.Errorf("the 20th pause is %s", last)
	}
	if got := p.next(true, lost); got > 200*time.Millisecond {
		t.Errorf("after a useful session the pause is %s", got)
	}
	if got := p.next(false, &zoom.Error{Cause: zoom.CauseDial, RetryAfter: time.Hour}); got != time.Hour {
		t.Errorf("Retry-After of an hour gives %s", got)
	}
	contest := newBackoff(2*time.Second, 5*time.Minute)
	first := contest.NextBackOff()
	for range 5 {
		last = contest.NextBackOff()
	}
	if first < time.Second || last < 30*time.Second {
		t.Errorf("after displacements the pauses go from %s to %s", first, last)
	}
	if causeOf(errors.New("other")) != zoom.CauseToken || causeOf(&zoom.Error{Cause: zoom.CauseDisplaced}) != zoom.CauseDisplaced {
		t.Error("causes")
	}
}
