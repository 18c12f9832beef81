package zoomsim_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestFrameIsAsCaptured: a frame has the form, the headers and the signature of Zoom's, around
// unchanged bytes.
func TestFrameIsAsCaptured(t *testing.T) {
	z := onTCP(t, zoomsim.Options{ClientID: "cid", SecretToken: "shh"})
	p := z.connect("S1")
	for _, body := range [][]byte{
		zoomsim.Samples()[0],
		[]byte("{\"event\":\"odd\",  \"n\":123456789012345678901, \"a\":\"\\u0000\\/\", \"b\":\"\t\x01é🦉\", \"a\":2}\r\n"),
		{},
	} {
		d := z.Emit("S1", zoomsim.Event{Body: body, RequestID: "req", Traceparent: "00-1-2-03"})
		data, err := p.raw()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, []byte(`{"module":"message","content":"`)) || !json.Valid(data) {
			t.Errorf("frame %s", data)
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		if f.body(t) != string(body) || d.Digest != sha256.Sum256(body) {
			t.Errorf("content %s, want %s", f.Content, body)
		}
		ts := f.Header["x-zm-request-timestamp"]
		mac := hmac.New(sha256.New, []byte("shh"))
		mac.Write([]byte("v0:" + ts + ":" + string(body)))
		want := map[string]string{
			"Authorization": zoomsim.DefaultVerificationToken, "clientId": "cid", "x-zm-trackingid": d.TrackingID,
			"x-zm-signature": "v0=" + hex.EncodeToString(mac.Sum(nil)), "x-zm-request-timestamp": ts,
			"x-zm-request-id": "req", "traceparent": "00-1-2-03",
		}
		if !maps.Equal(f.Header, want) || len(ts) != 10 {
			t.Errorf("header %v, want %v", f.Header, want)
		}
	}
	z.Emit("S1", zoomsim.Event{Name: "meeting.started", NoTracking: true})
	if f := p.next(); len(f.Header) != 4 {
		t.Errorf("header %v", f.Header)
	}
}

func TestTrackingIDs(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	shapes := map[string]string{
		"meeting.started":            `^v=2\.0;clid=us02;rid=WEB_[0-9a-f]{32}$`,
		"meeting.participant_joined": `^EventService_[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-A[0-9A-F]{3}-[0-9A-F]{12}_3$`,
	}
	seen := make(map[string]bool)
	for name, shape := range shapes {
		for range 50 {
			id := z.Emit("S1", zoomsim.Event{Name: name}).TrackingID
			if seen[id] || !regexp.MustCompile(shape).MatchString(id) {
				t.Fatalf("%s: %q, seen before: %v", name, id, seen[id])
			}
			seen[id] = true
		}
	}
	if id := z.Emit("S1", zoomsim.Event{Name: "x", TrackingID: "mine"}).TrackingID; id != "mine" {
		t.Errorf("tracking id %q", id)
	}
}

func TestBodies(t *testing.T) {
	names := eventnames.All()
	if len(names) != 596 || len(zoomsim.Samples()) != 96 {
		t.Fatalf("%d names, %d samples", len(names), len(zoomsim.Samples()))
	}
	for _, name := range append(names, `odd "name"`) {
		for _, body := range [][]byte{zoomsim.Body(name), zoomsim.SizedBody(name, 1024)} {
			var got map[string]any
			if err := json.Unmarshal(body, &got); err != nil || got["event"] != name {
				t.Errorf("%s: %s %v", name, body, err)
			}
		}
		if n := len(zoomsim.SizedBody(name, 1024)); n != 1024 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	if !bytes.Equal(zoomsim.Body("recording.completed"), zoomsim.Samples()[7]) {
		t.Error("the sample of the name is not used")
	}
}

var seqMember = regexp.MustCompile(`"sim_seq":\d+,|,"sim_seq":\d+`)
var tsMember = regexp.MustCompile(`"event_ts":("?)\d+`)

func TestTrafficChangesNothingButTheStamp(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	samples := zoomsim.Samples()
	const rounds = 3
	sent := make(chan error, 1)
	go func() {
		n, err := z.Traffic(t.Context(), zoomsim.Traffic{Subscription: "S1", Count: int64(rounds * len(samples))})
		if n != int64(rounds*len(samples)) && err == nil {
			err = errors.New("wrong count")
		}
		sent <- err
	}()
	var bodies []string
	for range rounds * len(samples) {
		bodies = append(bodies, p.next().body(t))
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	entries := z.Ledger().Entries
	for i, body := range bodies {
		if e := entries[i]; e.Digest != sha256.Sum256([]byte(body)) {
			t.Fatalf("event %d came out of order or changed", i)
		}
		var parsed struct {
			Seq int `json:"sim_seq"`
		}
		if err := json.Unmarshal([]byte(body), &parsed); err != nil || parsed.Seq != i+1 {
			t.Fatalf("event %d: sim_seq %d, %v", i, parsed.Seq, err)
		}
		sample := samples[i%len(samples)]
		stamp := []byte(`"event_ts":${1}0`)
		want := string(tsMember.ReplaceAll(sample, stamp))
		got := string(tsMember.ReplaceAll([]byte(seqMember.ReplaceAllString(body, "")), stamp))
		if got != want {
			t.Fatalf("event %d: %s\nwant %s", i, got, want)
		}
	}
	slices.Sort(bodies)
	if n := len(slices.Compact(bodies)); n != rounds*len(samples) {
		t.Errorf("%d different bodies of %d", n, rounds*len(samples))
	}
}

func TestTrafficRateAndMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		var mix zoomsim.Mix
		if err := mix.UnmarshalText([]byte("meeting.started=3, meeting.ended")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n, err := z.Traffic(ctx, zoomsim.Traffic{Subscription: "S1", Rate: 20, Bodies: mix})
		if !errors.Is(err, context.DeadlineExceeded) || n < 199 || n > 201 {
			t.Errorf("%d events, %v", n, err)
		}
		count := make(map[string]int)
		for _, e := range z.Ledger().Entries {
			count[e.Event]++
		}
		if a, b := count["meeting.started"], count["meeting.ended"]; a+b != int(n) || a < 3*b-3 || a > 3*b+3 {
			t.Errorf("mix %v", count)
		}
	})
}

func TestTrafficRefusesNonsense(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	if n, err := z.Traffic(t.Context(), zoomsim.Traffic{}); err == nil || n != 0 {
		t.Errorf("neither rate nor count: %d, %v", n, err)
	}
	for _, text := range []string{"", "a=0", "a=x", "a=1001", "a,,b"} {
		if err := new(zoomsim.Mix).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("mix %q was accepted", text)
		}
	}
}

func TestReplayIsByteForByte(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	samples := zoomsim.Samples()
	file := bytes.Join(samples, []byte("\r\n\n"))
	n, err := z.Replay(t.Context(), "S1", bytes.NewReader(file), 0)
	if err != nil || n != int64(len(samples)) {
		t.Fatal(n, err)
	}
	for i, want := range samples {
		if got := p.next().body(t); got != string(want) {
			t.Fatalf("line %d: %s", i, got)
		}
	}
	for i, e := range z.Ledger().Entries {
		if e.Event == "" || !strings.Contains(string(samples[i]), e.Event) {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestReplayOfRecordedEvents(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	file := `{"stream_seq":1,"kind":"gap","subject":"zoom._bridge.gap","headers":{},"body":{}}
{"stream_seq":3,"kind":"event","event":"a.b","subject":"zoom.a.b","headers":{},"body_text":"no JSON"}
{"stream_seq":4,"kind":"event","event":"a.b","subject":"zoom.a.b","headers":{},"body_base64":"/w=="}
{"stream_seq":2,"kind":"event","event":"a.b","subject":"zoom.a.b","headers":{"x-zm-trackingid":"T","traceparent":"00-1"},"body":{"event":"a.b", "n":1.0}}
{"event":"c.d","stream_seq":0}
`
	n, err := z.Replay(t.Context(), "S1", strings.NewReader(file), 0)
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	f := p.next()
	if f.body(t) != `{"event":"a.b", "n":1.0}` || f.Header["x-zm-trackingid"] != "T" || f.Header["traceparent"] != "00-1" {
		t.Errorf("%+v", f)
	}
	if got := p.next().body(t); got != `{"event":"c.d","stream_seq":0}` {
		t.Error(got)
	}
}

func TestBurstWaitsForTheSocket(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	const count = 5000
	go func() {
		z.Traffic(t.Context(), zoomsim.Traffic{Subscription: "S1", Count: count, Bodies: [][]byte{zoomsim.SizedBody("meeting.started", 2000)}})
	}()
	for range count {
		if _, err := p.raw(); err != nil {
			t.Fatal(err)
		}
	}
	z.await("S1", func(s zoomsim.Summary) bool { return s.Written == count })
	if sum := z.Summary("S1"); sum.Emitted != count || sum.Live != 1 {
		t.Errorf("summary %+v", sum)
	}
}
