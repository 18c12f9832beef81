package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	meeting   = "+q/7Zk1dQvGm0yT4nB9x3A=="
	tracking1 = "v=2.0;clid=us02;rid=WEB_5f1d3c0e8a7b4d2f9c6e1a0b3d4c5e6f"
	tracking2 = "EventService_00000000-0000-0000-0000-000000000002_3"
)

func (w *world) find(what string, limit int) *Findings {
	w.t.Helper()
	f, err := w.open().Find(w.t.Context(), Query{What: what, Since: time.Now().Add(-time.Hour), Limit: limit})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// TestFindInTheLatest: with a bound on the bytes that are read, older messages are left out and the
// newest matches are returned.
func TestFindInTheLatest(t *testing.T) {
	w := newWorld(t)
	w.fill(400) // about a kilobyte each
	state, err := w.open().state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	find := func(what string, since time.Duration, size int64) *Findings {
		f, err := w.open().Find(t.Context(), Query{What: what, Since: time.Now().Add(-since), Limit: 3, MaxBytes: size})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	quarter := int64(state.Bytes / 4)
	f := find("meeting.participant_joined", time.Hour, quarter)
	if got := sequences(f); !slices.Equal(got, []uint64{398, 399, 400}) || !f.More || f.Looked+f.LeftOut != 400 || f.Looked < 95 || f.Looked > 105 {
		t.Errorf("%v, more: %t, %d looked at, %d left out", got, f.More, f.Looked, f.LeftOut)
	}
	if f := find("80000000010", time.Hour, quarter); f.Found() || f.Looked > 105 {
		t.Errorf("%v of %d", sequences(f), f.Looked)
	}
	if f := find("80000000010", time.Hour, 1<<40); !slices.Equal(sequences(f), []uint64{11}) || f.Looked != 400 || f.LeftOut != 0 || f.More {
		t.Errorf("%v of %d", sequences(f), f.Looked)
	}
	if f := find("meeting.participant_joined", 0, quarter); f.Found() || f.Looked != 0 || f.LeftOut != 0 { // nothing was stored since
		t.Errorf("%v of %d", sequences(f), f.Looked)
	}
	if f := find("80000000399", time.Hour, 1); !slices.Equal(sequences(f), []uint64{400}) || f.Looked != 1 {
		t.Errorf("%v of %d", sequences(f), f.Looked)
	}
}

// TestFindMalformedLimit: of malformed frames, the oldest matches are returned or, with a bound on
// the bytes that are read, the newest.
func TestFindMalformedLimit(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		bad := nats.NewMsg("zoom._bridge.malformed")
		bad.Data = []byte("broken")
		bad.Header = nats.Header{"Zoom-Reason-Code": {"content"}, "x-zm-trackingid": {tracking1}}
		w.store(bad)
	}
	for _, c := range []struct {
		limit int
		most  int64
		want  []uint64
		more  bool
	}{{3, 1 << 40, []uint64{2, 3, 4}, true}, {4, 1 << 40, []uint64{1, 2, 3, 4}, false}, {3, 0, []uint64{1, 2, 3}, true}, {4, 0, []uint64{1, 2, 3, 4}, false}} {
		f, err := w.open().Find(t.Context(), Query{What: tracking1, Since: time.Now().Add(-time.Hour), Limit: c.limit, MaxBytes: c.most})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, m := range f.Malformed {
			got = append(got, m.Sequence)
		}
		if !slices.Equal(got, c.want) || f.More != c.more {
			t.Errorf("%d of %d bytes: %v, more: %t", c.limit, c.most, got, f.More)
		}
	}
}

// TestFindLargeOnes: with a bound on the bytes that are read, large bodies are not kept.
func TestFindLargeOnes(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{largeBody, largeBody + 1} {
		body := fmt.Sprintf(`{"event":"user.created","x":%q}`, strings.Repeat("x", size))
		w.store(w.event("user.created", tracking1, []byte(body)[:size]))
	}
	for _, most := range []int64{0, 1 << 40} {
		f, err := w.open().Find(t.Context(), Query{What: tracking1, Since: time.Now().Add(-time.Hour), Limit: 3, MaxBytes: most})
		if err != nil || len(f.Matches) != 2 {
			t.Fatalf("%+v, %v", f, err)
		}
		if small, large := f.Matches[0], f.Matches[1]; len(small.Body) != largeBody || (len(large.Body) > 0) != (most == 0) || large.Bytes != largeBody+1 {
			t.Errorf("of %d bytes at most: %d and %d of %d bytes", most, len(small.Body), len(large.Body), large.Bytes)
		}
	}
}

func sequences(f *Findings) (all []uint64) {
	for _, m := range f.Matches {
		all = append(all, m.Sequence)
	}
	return all
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	w.fill(20)
	var id string
	for _, e := range []struct{ name, tracking string }{
		{"meeting.started", tracking2}, {"meeting.ended", tracking1}, {"recording.completed", tracking1}, {"user.created", tracking2},
	} {
		m := w.event(e.name, e.tracking, zoomsim.Body(e.name))
		m.Header["x-zm-request-id"] = []string{"request-" + e.name}
		m.Header["Zoom-Signature"] = []string{"valid"}
		w.store(m)
		if e.name == "meeting.ended" {
			id = m.Header.Get(nats.MsgIdHdr)
		}
	}
	bad := nats.NewMsg("zoom._bridge.malformed")
	bad.Data = []byte(`{"module":"message","content":"{\"payload\":{\"object\":{\"uuid\":\"` + meeting + `\"`)
	bad.Header = nats.Header{"Zoom-Reason": {"content: unexpected end"}, "Zoom-Reason-Code": {"content"}, "x-zm-trackingid": {tracking1}}
	w.store(bad)

	for what, want := range map[string][]uint64{
		tracking1:              {22, 23},
		tracking2:              {21, 24},
		id:                     {22},
		"request-user.created": {24},
		"meeting.ended":        {22},
		meeting:                {21, 22, 23},
		"%252Bq%252F7Zk1dQvGm0yT4nB9x3A%253D%253D": {21, 22, 23},
		"86017254931":   {21, 22, 23}, // a string in two of them, a number in one
		"D8EjTWuMJZHzH": {24},
	} {
		f := w.find(what, 50)
		if got := sequences(f); !slices.Equal(got, want) || f.More || f.Looked != 25 {
			t.Errorf("%s: %v of %d, want %v", what, got, f.Looked, want)
		}
	}

	m := w.find(id, 50).Matches[0]
	if m.Subject != "zoom.meeting.ended" || m.Event != "meeting.ended" || m.Matched != nats.MsgIdHdr || m.MessageID != id || m.TrackingID != tracking1 ||
		m.RequestID != "request-meeting.ended" || m.Subscription != "sub-1" || m.Epoch != 7 || m.Seq != 22 || m.Signature != "valid" ||
		string(m.Body) != string(zoomsim.Body("meeting.ended")) || m.Bytes != len(m.Body) || m.Hops.Received.IsZero() || m.Hops.Stored.IsZero() {
		t.Errorf("the match is %+v", m)
	}
	if m := w.find(meeting, 50).Matches[0]; m.Matched != "payload.object.uuid" {
		t.Errorf("the meeting is found at %s", m.Matched)
	}

	f := w.find(id, 50)
	if len(f.Siblings) != 1 || f.Siblings[0].Sequence != 23 || f.Siblings[0].TrackingID != tracking1 {
		t.Errorf("of the same operation are %+v", f.Siblings)
	}
	if f := w.find(meeting, 50); len(f.Siblings) != 1 || f.Siblings[0].Sequence != 24 {
		t.Errorf("of the meeting's operations are %+v", f.Siblings)
	}
	for what, want := range map[string]int{id: 1, meeting: 1, tracking1: 1, tracking2: 0, "D8EjTWuMJZHzH": 0} {
		f := w.find(what, 50)
		if len(f.Malformed) != want || want > 0 && (f.Malformed[0].Sequence != 25 || f.Malformed[0].Code != "content") {
			t.Errorf("%s: malformed are %+v", what, f.Malformed)
		}
	}
}

// TestFindLimit: up to the limit, the oldest matches are returned, and whether there are more.
func TestFindLimit(t *testing.T) {
	w := newWorld(t)
	for n := range 4 {
		w.store(w.event("meeting.started", tracking1, fmt.Appendf(nil, `{"n":%d,"payload":{"object":{"uuid":%q}}}`, n, meeting)))
	}
	for _, what := range []string{tracking1, meeting} {
		for limit, more := range map[int]bool{1: true, 3: true, 4: false} {
			f := w.find(what, limit)
			if got, want := sequences(f), []uint64{1, 2, 3, 4}[:limit]; !slices.Equal(got, want) || f.More != more {
				t.Errorf("%s, limit %d: %v, %v", what, limit, got, f.More)
			}
		}
	}
}

func TestFindNothing(t *testing.T) {
	w := newWorld(t)
	if f := w.find("nothing", 1); f.Found() || f.Looked != 0 {
		t.Errorf("in an empty stream it finds %+v", f)
	}
	w.store(w.event("meeting.started", tracking1, zoomsim.Body("meeting.started")))
	w.gap("sub-1", time.Now().Add(-time.Minute), time.Second, "1")
	w.gap("sub-1", time.Now().Add(-2*time.Hour), time.Second, "0")
	f := w.find("nothing", 1)
	if f.Found() || f.Looked != 3 || len(f.Gaps) != 1 || f.Gaps[0].ID != "1" {
		t.Errorf("it finds %+v", f)
	}
	if f := w.find(tracking1, 1); f.Gaps != nil {
		t.Errorf("with what it finds it tells of gaps: %v", f.Gaps)
	}
	f, err := w.open().Find(t.Context(), Query{What: tracking1, Since: time.Now().Add(time.Second), Limit: 1})
	if err != nil || f.Found() || f.Looked != 0 {
		t.Errorf("in what is yet to be stored it finds %+v, %v", f, err)
	}
}

// TestFindEnds: a search ends while events are stored all the time, and when its context ends.
func TestFindEnds(t *testing.T) {
	w := newWorld(t)
	w.fill(500)
	ctx, cancel := context.WithCancel(t.Context())
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for n := 0; ctx.Err() == nil; n++ {
			w.js.PublishMsgAsync(w.event("user.updated", "", fmt.Appendf(nil, `{"n":%d}`, n))) //nolint:errcheck // with what is stored it is enough
		}
	}()
	f := w.find("nothing", 1)
	if f.Looked < 500 {
		t.Errorf("only %d messages are looked at", f.Looked)
	}
	cancel()
	<-stored
	if _, err := w.open().Find(ctx, Query{What: "nothing", Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestFindPrefix: a search covers only subjects below the prefix.
func TestFindPrefix(t *testing.T) {
	w := newWorld(t)
	w.create(jetstream.StreamConfig{Name: "SHARED", Subjects: []string{"a.>", "b.zoom.>"}})
	for _, subject := range []string{"a.meeting.started", "b.zoom.meeting.started"} {
		m := nats.NewMsg(subject)
		m.Data = zoomsim.Body("meeting.started")
		m.Header.Set(nats.MsgIdHdr, dedupe.ID(dedupe.Content, "", subject, m.Data))
		w.store(m)
	}
	s, err := Open(t.Context(), natstest.JetStream(t, w.nc), "SHARED", "b.zoom")
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Find(t.Context(), Query{What: meeting, Limit: 9})
	if err != nil || len(f.Matches) != 1 || !strings.HasPrefix(f.Matches[0].Subject, "b.zoom.") || f.Looked != 1 {
		t.Errorf("it finds %+v, %v", f, err)
	}
}

// TestFindInterrupted: a search ends with its context even if NATS is gone.
func TestFindInterrupted(t *testing.T) {
	w := newWorld(t)
	const events = aheadBytes / 800 // about a kilobyte each: more than is in flight at a time
	w.fill(events)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	s := w.open()
	n := 0
	go func() {
		_, err := s.scan(ctx, look{subject: "zoom.>", last: events}, func(*Message) bool {
			if n++; n == 1 {
				natstest.Stop(w.server)
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			return true
		})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) || n == events {
			t.Errorf("after %d messages: %v", n, err)
		}
	case <-time.After(8 * time.Second):
		t.Error("it goes on")
	}
}
