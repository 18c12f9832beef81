package zoom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// message returns a frame around a content that is already JSON.
func message(content string) []byte {
	return fmt.Appendf(nil, `{"module":"message","content":%s,"header":{"Authorization":"secret","clientId":"id","X-ZM-TrackingID":"t","x-zm-request-timestamp":"1"}}`, content)
}

func quoted(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func decode(raw []byte) (env envelope, event string, err error) {
	var d decoder
	if env, err = d.envelope(raw); err != nil {
		return env, "", err
	}
	if env.module != moduleMessage {
		return env, "", unexpectedModule(env, carriesEvent(env))
	}
	e, err := d.event(env)
	return env, e.name, err
}

// TestBytesAreKept decodes bodies that decoding and encoding again would change. Their bytes stay
// the same.
func TestBytesAreKept(t *testing.T) {
	for _, body := range []string{
		`{"event":"a.b","id":9223372036854775808123,"f":1.0,"e":1E400}`,
		" {\t\"event\" : \"a.b\" ,\r\n \"x\":[ 1 , 2 ] } \n",
		`{"event":"a.b","k":1,"k":2,"":{"":{}}}`,
		`{"event":"a.b","t":"\u00e9\ud83e\udd89\/\u003c<>&\u2028"}`,
		`{"event":"a.b","t":"\u0000\u001f"}`,
		`{"event":"a.b","lone":"\ud800"}`,
		`{"event":"a.b","t":"Ñandú 山田 🦉"}`,
		"{\"event\":\"a.b\",\"latin1\":\"\xe9\xff\"}",
		`{"payload":{"event":"nested"},"Event":"other","EVENT":1,"event":"a.b"}`,
		`{"event":"first","event":"a.b"}`,
		`{"\u0065vent":"\u0061.b"}`,
	} {
		asString := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\r", `\r`, "\n", `\n`).Replace(body) + `"`
		for _, content := range []string{asString, body} {
			env, event, err := decode(message(content))
			want := body
			if content == body {
				want = strings.TrimSpace(body)
			}
			if err != nil || event != "a.b" || string(env.content) != want {
				t.Errorf("content %s\n gives %s %q: %v", content, event, env.content, err)
			}
			if env.header.TrackingID != "t" || env.header.Timestamp != "1" {
				t.Errorf("header %+v", env.header)
			}
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	for kind, raw := range zoomsim.GarbageFrames() {
		_, _, err := decode(raw)
		if good := strings.HasPrefix(kind, "odd-"); good != (err == nil) {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if err == nil {
			continue
		}
		if m, ok := errors.AsType[*Malformed](err); !ok || m.Reason == "" || strings.Contains(err.Error(), "must-not-leak") {
			t.Errorf("%s: %T %v", kind, err, err)
		}
	}
	long := message(quoted(t, `{"event":"`+strings.Repeat("x", maxEventName+1)+`"}`))
	if _, _, err := decode(long); err == nil {
		t.Error("an endless event name passes")
	}
}

// TestHeaderNeverSpoilsAnEvent puts every kind of value in place of the header and of each of its
// fields: the event is still decoded, with what can be read.
func TestHeaderNeverSpoilsAnEvent(t *testing.T) {
	decodes := func(header string) Header {
		t.Helper()
		raw := fmt.Appendf(nil, `{"module":"message","header":%s,"content":"{\"event\":\"a.b\"}"}`, header)
		env, event, err := decode(raw)
		if err != nil || event != "a.b" || string(env.content) != `{"event":"a.b"}` {
			t.Errorf("with the header %.80s: %q, %v", header, event, err)
		}
		return env.header
	}
	deep := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	odd := []string{`null`, `true`, `false`, `[]`, `[1,2]`, `["a",["b"]]`, `{}`, `{"a":{"b":[]}}`, deep}
	for _, header := range append(odd, `7`, `-1e9`, `""`, `"none"`, `[{"x-zm-trackingid":"a"}]`) {
		if got := decodes(header); got != (Header{}) {
			t.Errorf("%.80s gives %+v", header, got)
		}
	}
	whole := Header{"t", "1", "s", "r", "p"}
	for name, field := range map[string]func(*Header) *string{
		"x-zm-trackingid": func(h *Header) *string { return &h.TrackingID }, "x-zm-request-timestamp": func(h *Header) *string { return &h.Timestamp },
		"x-zm-signature": func(h *Header) *string { return &h.Signature }, "X-ZM-Request-ID": func(h *Header) *string { return &h.RequestID },
		"traceparent": func(h *Header) *string { return &h.Traceparent },
	} {
		for _, value := range append(odd, `12`, `"x"`) {
			want := whole
			switch value {
			case `12`, `"x"`:
				*field(&want) = strings.Trim(value, `"`)
			default:
				*field(&want) = ""
			}
			fields := []string{`"Authorization":[1]`, fmt.Sprintf("%q:%s", name, value)}
			for other, text := range map[string]string{"x-zm-trackingid": "t", "x-zm-request-timestamp": "1", "x-zm-signature": "s", "x-zm-request-id": "r", "traceparent": "p"} {
				if !strings.EqualFold(other, name) {
					fields = append(fields, fmt.Sprintf("%q:%q", other, text))
				}
			}
			if got := decodes("{" + strings.Join(fields, ",") + "}"); got != want {
				t.Errorf("%s %.80s gives %+v, want %+v", name, value, got, want)
			}
		}
	}
}

// TestKeys puts every kind of value in place of the keys: the event is still decoded.
func TestKeys(t *testing.T) {
	long := strings.Repeat("x", maxHeaderValue)
	for content, want := range map[string][3]string{
		`{"payload":{"account_id":"a","object":{"uuid":"+q/7==","id":"86017254931"}},"event":"a.b"}`: {"a", "86017254931", "+q/7=="},
		`{"event":"a.b","payload":{"object":{"id":86017254931},"account_id":"a"}}`:                   {"a", "86017254931", ""},
		`{"event":"a.b","payload":{"object":{"id":9223372036854775808123,"uuid":-1.50E+3}}}`:         {"", "9223372036854775808123", "-1.50E+3"},
		`{"event":"a.b","payload":{"object":{"id":"\u0031\/\ud83e\udd89","uuid":"é\n"}}}`:            {"", "1/🦉", "é\n"},
		`{"event":"a.b","p\u0061yload":{"\u006fbject":{"\u0069d":"1"}}}`:                             {"", "1", ""},
		`{"event":"a.b","payload":{"object":[{"id":"1","uuid":"2"},{"id":"3"}]}}`:                    {},
		`{"event":"a.b","payload":{"object":{"participant":{"id":"1","uuid":"2"},"ID":"3"}}}`:        {},
		`{"event":"a.b","payload":{"id":"1","uuid":"2","object":"3"},"object":{"id":"4"}}`:           {},
		`{"event":"a.b","payload":[{"object":{"id":"1"}}],"account_id":"a"}`:                         {},
		`{"event":"a.b","payload":{"account_id":null,"object":{"id":{"id":"1"},"uuid":["2"]}}}`:      {},
		`{"event":"a.b","payload":{"account_id":true,"object":{"id":"","uuid":null}}}`:               {},
		`{"event":"a.b","payload":{"account_id":"a","object":{"id":"1"}},"payload":{}}`:              {},
		`{"event":"a.b","payload":{"object":{"id":"1","uuid":"2"},"object":{"id":"3"}}}`:             {"", "3", ""},
		`{"event":"a.b","payload":{"object":{"id":"1"},"object":null}}`:                              {},
		`{"event":"a.b","payload":{"object":{"id":"1","id":2}}}`:                                     {"", "2", ""},
		`{"event":"a.b","payload":{"account_id":"` + long + `","object":{"id":"1"}}}`:                {"", "1", ""},
		`{"event":"a.b","payload":null}`:                                                             {},
		`{"event":"a.b"}`:                                                                            {},
	} {
		env, err := new(decoder).envelope(message(quoted(t, content)))
		if err != nil {
			t.Fatal(err)
		}
		e, err := new(decoder).event(env)
		if got := [3]string{string(e.keys.Account), string(e.keys.Object), string(e.keys.ObjectUUID)}; err != nil || e.name != "a.b" || got != want {
			t.Errorf("%.200s: %q, %v, want %q", content, got, err, want)
		}
	}
	for _, content := range []string{
		`{"event":"a.b","payload":{"object":{"id":"1"}}`, `{"event":"a.b","payload":{"object":{"id":1x}}}`, `{"event":"a.b","payload":{"object":{"id":}}}`, `{"event":"a.b","payload":{`,
	} {
		if e, err := new(decoder).event(envelope{kind: '{', content: []byte(content)}); err == nil || e.name != "" || e.keys.Object != nil {
			t.Errorf("%s is taken for an event: %+v", content, e)
		}
	}
}

// TestKeysOfSamples compares the keys with what encoding/json reads in bodies as Zoom sends them.
func TestKeysOfSamples(t *testing.T) {
	found := make(map[string]int)
	for _, body := range zoomsim.Samples() {
		var reference struct {
			Payload map[string]json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(body, &reference); err != nil {
			t.Fatal(err)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(reference.Payload["object"], &object); err != nil {
			object = nil // no object, or an array of them
		}
		e, err := new(decoder).event(envelope{kind: '{', content: body})
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			got  []byte
			want json.RawMessage
		}{"account": {e.keys.Account, reference.Payload["account_id"]}, "object": {e.keys.Object, object["id"]}, "uuid": {e.keys.ObjectUUID, object["uuid"]}} {
			want := string(c.want)
			if strings.HasPrefix(want, `"`) {
				json.Unmarshal(c.want, &want) //nolint:errcheck // it is a string
			}
			if string(c.got) != want {
				t.Errorf("%s of %s: %q, want %q", what, e.name, c.got, want)
			}
			if want != "" {
				found[what]++
			}
		}
	}
	if found["account"] < 70 || found["object"] < 40 || found["uuid"] < 25 {
		t.Errorf("the samples have few keys: %v", found)
	}
}

func TestVerifySignature(t *testing.T) {
	// The HMAC of "v0:1694545099:{}" under "key", computed with openssl.
	const digest = "d72dadf925b4d58d745e52c6090903c4a965028f57d84fea27e4a2e44faf4f78"
	sim := zoomsim.New(zoomsim.Options{SecretToken: "key"})
	defer sim.Close()
	env, _, err := decode(sim.Frame(zoomsim.Event{Name: "meeting.started"}))
	if err != nil {
		t.Fatal(err)
	}
	h := env.header
	var v Verifier // one for all: it must not remember the key
	escaped := strings.Replace(h.Signature, "=", `\u003d`, 1)
	for name, c := range map[string]struct {
		token, timestamp, signature string
		body                        []byte
		want                        bool
	}{
		"valid":           {"key", h.Timestamp, h.Signature, env.content, true},
		"by openssl":      {"key", "1694545099", "v0=" + digest, []byte("{}"), true},
		"escaped twice":   {"key", h.Timestamp, escaped, env.content, true},
		"other token":     {"kez", h.Timestamp, h.Signature, env.content, false},
		"valid again":     {"key", h.Timestamp, h.Signature, env.content, true},
		"other time":      {"key", h.Timestamp + "0", h.Signature, env.content, false},
		"other body":      {"key", h.Timestamp, h.Signature, append(bytes.Clone(env.content), ' '), false},
		"other digest":    {"key", h.Timestamp, "v0=" + digest, env.content, false},
		"missing":         {"key", h.Timestamp, "", env.content, false},
		"without version": {"key", h.Timestamp, strings.TrimPrefix(h.Signature, "v0="), env.content, false},
		"not hexadecimal": {"key", h.Timestamp, "v0=zz", env.content, false},
		"cut":             {"key", h.Timestamp, h.Signature[:40], env.content, false},
	} {
		if got := v.Verify(c.token, c.timestamp, c.signature, c.body); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestWithToken(t *testing.T) {
	for in, want := range map[string]string{
		"wss://ws.zoom.us/ws?subscriptionId=a-_":                   "wss://ws.zoom.us/ws?subscriptionId=a-_&access_token=e+%2F",
		"wss://h/ws?access_token=old&subscriptionId=a&x=%2f":       "wss://h/ws?subscriptionId=a&x=%2f&access_token=e+%2F",
		"ws://127.0.0.1:1/ws?subscriptionId=a&access_token=pasted": "ws://127.0.0.1:1/ws?subscriptionId=a&access_token=e+%2F",
	} {
		if got, err := withToken(in, "e /"); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

// TestErrorsAreRedacted redacts errors as the libraries make them.
func TestErrorsAreRedacted(t *testing.T) {
	const token = "eyJhbGci.to+ken/x"
	r := redactor{token, "client-secret"}
	dial := fmt.Errorf("failed to WebSocket dial: failed to send handshake request: %w",
		&url.Error{Op: "Get", URL: "http://h/ws?subscriptionId=S&access_token=" + url.QueryEscape(token), Err: errors.New("dial tcp: refused")})
	for _, err := range []error{
		dial,
		errors.New(`Get "http://h/ws?access_token=` + url.QueryEscape(token) + `": EOF`),
		errors.New(`Get "http://h/ws?access_token=of-another-session&x=1": EOF`),
		errors.New("token " + token + " and client-secret at nats://user:pass@host"),
		endError(websocket.CloseError{Code: 1008, Reason: "bad " + token}, r),
		endError(io.ErrUnexpectedEOF, r),
	} {
		text := r.error(err)
		for _, secret := range []string{token, url.QueryEscape(token), "client-secret", "pass@", "of-another-session"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q holds %q", text, secret)
			}
		}
	}
}

// TestErrorsAreRedactedBeforeTheyAreQuoted has tokens that look different once they are quoted.
func TestErrorsAreRedactedBeforeTheyAreQuoted(t *testing.T) {
	for _, token := range []string{"to\"ken-with-a-quote", "token\r\nof-two-lines", `token\with\backslashes`, "token%2Bwith%percent", "tökèn-beyond-ASCII"} {
		r := redactor{token}
		s := &Session{redact: r}
		for _, err := range []error{
			endError(websocket.CloseError{Code: 1008, Reason: "bad " + token}, r),
			errors.New(r.error(fmt.Errorf("the other side said %q", token))),
			s.refusalError(envelope{module: moduleBuild, refused: true, content: []byte(fmt.Sprintf("%q is no token", token))}, nil, false),
			s.refusalError(envelope{module: token, refused: true}, nil, false),
		} {
			text, part := err.Error(), token[len(token)-8:]
			if strings.Contains(text, part) || !strings.Contains(text, "***") {
				t.Errorf("%q: %s", token, text)
			}
		}
	}
}

// FuzzEnvelope decodes any frame: decoding never panics, errors are Malformed, and the result is
// what encoding/json decodes.
func FuzzEnvelope(f *testing.F) {
	for _, frame := range zoomsim.GarbageFrames() {
		if len(frame) < 10_000 {
			f.Add(frame)
		}
	}
	sim := zoomsim.New(zoomsim.Options{SecretToken: "key"})
	defer sim.Close()
	for i, body := range zoomsim.Samples() {
		f.Add(sim.Frame(zoomsim.Event{Body: body, AsObject: i%2 == 0}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		env, event, err := decode(raw)
		if err != nil {
			if !is[*Malformed](err) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if env.module != moduleMessage {
			return // one of Zoom's own answers
		}
		if event == "" || len(event) > maxEventName {
			t.Fatalf("accepted %+v, %q", env, event)
		}
		if !utf8.Valid(raw) {
			return // the reference replaces bytes
		}
		if !json.Valid(env.content) {
			t.Fatalf("accepted content %q", env.content)
		}
		var reference struct {
			Content json.RawMessage `json:"content"`
		}
		if bytes.Count(raw, []byte("ontent")) != 1 || bytes.Contains(raw, []byte(`\u0`)) {
			return // unlike ours, the reference matches keys regardless of case
		}
		if err := json.Unmarshal(raw, &reference); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		want := string(reference.Content)
		if len(want) > 0 && want[0] == '"' {
			json.Unmarshal(reference.Content, &want) //nolint:errcheck // valid
		}
		if want != string(env.content) {
			t.Fatalf("content %q, want %q", env.content, want)
		}
	})
}

// TestAllocations: decoding allocates only the body, and one block for the header's strings.
func TestAllocations(t *testing.T) {
	sim := zoomsim.New(zoomsim.Options{SecretToken: "key"})
	defer sim.Close()
	raw := sim.Frame(zoomsim.Event{Name: "meeting.started", TrackingID: "t", RequestID: "r", Traceparent: "00-1"})
	var d decoder
	if n := testing.AllocsPerRun(1000, func() {
		env, err := d.envelope(raw)
		if _, failed := d.event(env); err != nil || failed != nil {
			t.Error(err, failed)
		}
	}); n > 2 {
		t.Errorf("%v", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	sim := zoomsim.New(zoomsim.Options{})
	defer sim.Close()
	for _, size := range []int{1 << 10, 16 << 10} {
		raw := sim.Frame(zoomsim.Event{Body: zoomsim.SizedBody("meeting.participant_joined", size)})
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			var d decoder
			for b.Loop() {
				env, err := d.envelope(raw)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.event(env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
