package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/publisher"
)

func counted(t *testing.T, c prometheus.Counter) int {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// TestStored: a stored message is counted as the stream acknowledges it: as new, or as a
// repetition.
func TestStored(t *testing.T) {
	for name, c := range map[string]struct {
		duplicate, resent   bool
		published, repeated int
		late                uint64
	}{
		"new":                                 {false, false, 1, 0, 1},
		"new, sent twice":                     {false, true, 1, 0, 1},
		"known":                               {true, false, 0, 1, 0},
		"sent twice, and the first was taken": {true, true, 1, 0, 1}, // the acknowledgement of the first one was lost
	} {
		b := newBridge(t)
		var told []string
		b.cfg.Repeated = func(id, where string) { told = append(told, id+" "+where) }
		received := time.Now()
		msg := b.encoder.event(&zoom.Frame{Event: "meeting.started", Body: []byte(`{"event":"meeting.started"}`), Received: received}, 1)
		b.handleStored(outbox.Stored{
			Ack: publisher.Ack{Msg: msg, Duplicate: c.duplicate, Resent: c.resent}, At: received.Add(time.Second),
			Times: outbox.Times{Happened: received.Add(-time.Second), Received: received},
		})
		published, repeated, late := counted(t, b.cfg.Metrics.Published), counted(t, b.cfg.Metrics.RepeatedStream), latenessOf(b).Count
		if published != c.published || repeated != c.repeated || late != c.late || len(told) != c.repeated {
			t.Errorf("%s: %d published, want %d, %d repeated, want %d, lateness of %d, want %d, told of %v", name, published, c.published, repeated, c.repeated, late, c.late, told)
		}
		if len(told) == 1 && told[0] != msg.Header.Get(nats.MsgIdHdr)+" stream" {
			t.Errorf("%s: %v", name, told)
		}
	}
}

// TestStoredOverTheDisk: after a time on disk, a message itself tells when its event was received.
func TestStoredOverTheDisk(t *testing.T) {
	b := newBridge(t)
	received := time.Now().Add(-10 * time.Minute)
	msg := b.encoder.event(&zoom.Frame{
		Event: "meeting.started", Received: received,
		Body: []byte(`{"event":"meeting.started","event_ts":` + time.Now().Add(-2*time.Hour).Format("20060102") + `}`),
	}, 1)
	b.handleStored(outbox.Stored{Ack: publisher.Ack{Msg: msg}, At: time.Now()})
	var s status.Subscription
	b.cfg.Metrics.Fill(&s, time.Now(), false)
	if s.Store.Count != 1 || s.Store.P50 < 590 || s.Store.P50 > 610 || s.Late.Count != 0 { // its event_ts is invalid
		t.Errorf("%+v", s)
	}
	for _, broken := range []*nats.Msg{
		{Subject: "zoom.a", Header: nats.Header{nats.MsgIdHdr: {"1"}, message.HeaderEvent: {"a"}}},
		{Subject: "zoom.a", Header: nats.Header{nats.MsgIdHdr: {"2"}, message.HeaderEvent: {"a"}, message.HeaderReceivedAt: {"yesterday"}}, Data: []byte("{")},
		{Subject: "zoom._bridge.gap", Header: nats.Header{nats.MsgIdHdr: {"3"}}},
		{Subject: "zoom._bridge.malformed", Header: nats.Header{nats.MsgIdHdr: {"4"}}},
	} {
		b.handleStored(outbox.Stored{Ack: publisher.Ack{Msg: broken}, At: time.Now()})
	}
	if n := counted(t, b.cfg.Metrics.Published); n != 3 { // the three events
		t.Errorf("%d published", n)
	}
}

// TestRepetitionIsCountedLocally: a repetition within the window counts as received. It is neither
// sent nor stored.
func TestRepetitionIsCountedLocally(t *testing.T) {
	b := newBridge(t)
	b.window = dedupe.NewWindow(windowSize, time.Hour)
	var told []string
	b.cfg.Repeated = func(id, where string) { told = append(told, id+" "+where) }
	f := &zoom.Frame{Event: "meeting.started", Body: []byte("{}"), Header: zoom.Header{TrackingID: "WEB_1"}, Received: time.Now()}
	for range 3 {
		if err := b.handleFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if n := counted(t, b.cfg.Metrics.Received); n != 3 {
		t.Errorf("%d received", n)
	}
	if n := counted(t, b.cfg.Metrics.RepeatedLocal); n != 2 || len(told) != 2 || told[0] != told[1] || b.line.Stats().Pending != 1 {
		t.Errorf("%d repeated, told of %v, %d pending", n, told, b.line.Stats().Pending)
	}
}

// latenessOf returns the lateness of the latest events.
func latenessOf(b *Bridge) status.Quantiles {
	var s status.Subscription
	b.cfg.Metrics.Fill(&s, time.Now(), false)
	return s.Late
}

// TestHappenedAlike: message.Happened, for readers of the stream, reads the time of an event as the
// connector does.
func TestHappenedAlike(t *testing.T) {
	now := time.Now()
	bodies := zoomsim.Samples()
	for _, name := range eventnames.All() {
		bodies = append(bodies, zoomsim.Body(name))
	}
	for _, value := range []string{
		fmt.Sprint(now.UnixMilli()), fmt.Sprintf("%q", fmt.Sprint(now.Add(-time.Hour).UnixMilli())), fmt.Sprint(now.Unix()), "null", "1.5", "-1", `{"a":1}`, "[1]", `"soon"`, "true",
		fmt.Sprintf(`1,"event_ts":%d`, now.UnixMilli()), fmt.Sprint(now.Add(2 * time.Hour).UnixMilli()), fmt.Sprint(now.AddDate(-2, 0, 0).UnixMilli()),
	} {
		bodies = append(bodies, []byte(`{"event":"a","event_ts":`+value+`}`))
	}
	for _, body := range bodies {
		for _, received := range []time.Time{now, time.Date(2021, 5, 1, 0, 0, 0, 0, time.UTC)} { // the samples are from several years
			if got, want := message.Happened(body, received), zoom.Happened(body, received); !got.Equal(want) {
				t.Errorf("%.200s: %s, and the connector reads %s", body, got, want)
			}
		}
	}
}
