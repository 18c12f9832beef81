package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/webhook"
)

// TestDelivery delivers 10,000 events to an endpoint that fails in every way, with crashes, a clean
// stop and a standby. Each event is delivered at least once, the first time in order. What the
// endpoint never accepts becomes a dead letter.
func TestDelivery(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		t.Run(fmt.Sprint("parallel=", parallel), func(t *testing.T) {
			t.Parallel()
			const objects = 40
			events := 10_000
			if raceEnabled { // with it, each event takes several times as long
				events = 2_000
			}
			w := newWorld(t)
			w.endpoint.setFails(inEveryWay(uint64(parallel)))
			for n := range events {
				w.store("meeting.participant_joined", n, n%objects)
			}
			w.stored()
			o := w.options(parallel)
			for _, until := range []int{events / 4, events / 2} {
				i := w.start(o)
				w.until("a part is delivered", func() bool { return w.endpoint.count() >= until })
				w.kill(i)
			}
			i := w.start(o)
			w.until("more is delivered", func() bool { return w.endpoint.count() >= events*3/4 })
			standby := w.start(o)
			w.end(i)
			dead := 0
			for n := range events {
				if never(n) != "" {
					dead++
				}
			}
			w.until("all is delivered", func() bool { return w.endpoint.count() == events-dead })
			w.until("the dead letters are stored", func() bool { return len(w.deadLetters()) == dead })
			w.until("all is acknowledged", func() bool {
				c, err := w.js.Consumer(t.Context(), "ZOOM", "forward-team")
				must(t, err)
				return c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
			})
			w.end(standby)
			w.checkOrder(parallel, objects)
			w.checkDead()
			t.Logf("%d deliveries of %d events", len(w.endpoint.accepted), w.endpoint.count())
			if strings.Contains(w.log.String(), "must-not-leak") || strings.Contains(w.log.String(), testSecret) {
				t.Error("the log has a secret")
			}
		})
	}
}

// checkOrder checks that the first deliveries came in order: of all events or, in parallel, of an
// object's.
func (w *world) checkOrder(parallel, objects int) {
	w.t.Helper()
	last := make(map[int]int)
	for index, a := range w.endpoint.accepted {
		key := 0
		if parallel > 1 {
			key = a.n % objects
		}
		if w.endpoint.first[a.n] != index {
			continue
		}
		if before, ok := last[key]; ok && a.n < before {
			w.t.Errorf("event %d came first behind %d", a.n, before)
		}
		last[key] = a.n
	}
}

func (w *world) checkDead() {
	w.t.Helper()
	seen := make(map[string]bool)
	for _, m := range w.deadLetters() {
		id := m.Header.Get(nats.MsgIdHdr)
		n, err := strconv.Atoi(strings.TrimPrefix(id, "team:id-"))
		want := "http_" + never(n)
		if err != nil || seen[id] || m.Subject != "zoom-dead.team.meeting.participant_joined" || m.Header.Get("Zoom-Reason-Code") != want || !strings.Contains(string(m.Data), fmt.Sprintf(`"n":%d,`, n)) {
			w.t.Errorf("a dead letter is %s %v %s", m.Subject, m.Header, m.Data)
		}
		seen[id] = true
	}
}

// TestRequest: a request looks like one of Zoom's webhooks.
func TestRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store("meeting.started", 7, 8)
	_, err := w.js.Publish(t.Context(), "zoom._bridge.gap", []byte(`{}`))
	must(t, err)
	w.store("user.created", 8, 8)
	w.store("meeting.ended", 9, 8)
	w.stored()
	o := w.options(1)
	o.Events = []string{"meeting.*"}
	i := w.start(o)
	w.until("delivered", func() bool { return w.endpoint.count() == 2 })
	w.end(i)
	a := w.endpoint.accepted[0]
	if a.body != "{\"event\":\"meeting.started\", \"payload\":{\"account_id\":\"acc\",\"object\":{\"id\":8}},\"n\":7,\"raw\":\"\\u00e9 \xff\"}" {
		t.Errorf("the body is %q", a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "User-Agent": "zoomstream/test", "X-Zm-Trackingid": "track-7", "Nats-Msg-Id": "id-7", "Zoom-Epoch": "", "Nats-Pin-Id": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	sent, err := strconv.ParseInt(a.header.Get("X-Zm-Request-Timestamp"), 10, 64)
	if age := time.Since(time.Unix(sent, 0)); err != nil || age < 0 || age > time.Minute {
		t.Errorf("the time stamp is %s old: %v", age, err)
	}
	if w.endpoint.accepted[1].n != 9 {
		t.Errorf("event %d was delivered", w.endpoint.accepted[1].n)
	}
}

// TestResendDead sends dead letters again. Those that are refused stay.
func TestResendDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(int) string { return "422" })
	for n := range 5 {
		w.store("meeting.started", n, 8)
	}
	w.stored()
	o := w.options(1)
	if sent, err := ResendDead(t.Context(), natstest.JetStream(t, w.connect()), o); !errors.Is(err, ErrNoDeadStream) || sent != (Resent{}) {
		t.Errorf("without any: %+v, %v", sent, err)
	}
	i := w.start(o)
	w.until("given up", func() bool { return strings.Count(w.log.String(), `"forward.dead"`) == 5 })
	w.end(i)
	for _, c := range []struct {
		fails string
		of    int
		sent  Resent
		err   string
	}{
		{"500", 0, Resent{Left: 5}, "the endpoint answered 500 Internal Server Error; the dead letters after it were not tried"},
		{"422", 1, Resent{Delivered: 4, Left: 1}, ""}, {"", 0, Resent{Delivered: 1}, ""}, {"", 0, Resent{}, ""},
	} {
		w.endpoint.setFails(func(n int) string {
			if n == c.of {
				return c.fails
			}
			return ""
		})
		sent, err := ResendDead(t.Context(), natstest.JetStream(t, w.connect()), o)
		if sent != c.sent || c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%+v: %+v, %v", c, sent, err)
		}
	}
	if a := w.endpoint.accepted[0]; a.header.Get("Nats-Msg-Id") != "id-0" || a.header.Get("x-zm-trackingid") != "track-0" || a.n != 0 {
		t.Errorf("a dead letter is delivered as %+v", a)
	}
}

// TestTooLargeForALetter: an event that fits the stream, but not with a dead letter's headers,
// leaves a letter without its body and holds up nothing.
func TestTooLargeForALetter(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*world){
		"of the server": func(*world) {},
		"of the stream": func(w *world) {
			_, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM_DEAD", Subjects: []string{"zoom-dead.>"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxMsgSize: 1 << 10})
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			limit(w)
			w.endpoint.setFails(func(n int) string {
				if n == 0 {
					return "413"
				}
				return ""
			})
			body := append([]byte(`{"payload":{"object":{"id":8}},"n":0,"x":"`), bytes.Repeat([]byte("x"), 1<<20-200)...)
			_, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "zoom.meeting.started", Header: nats.Header{nats.MsgIdHdr: {"id-0"}, "Zoom-Event": {"meeting.started"}}, Data: append(body, `"}`...)})
			must(t, err)
			w.store("meeting.ended", 1, 8)
			w.stored()
			o := w.options(1)
			i := w.start(o)
			w.until("the next one is delivered", func() bool { return w.endpoint.count() == 1 })
			w.end(i)
			letters := w.deadLetters()
			if len(letters) != 1 || len(letters[0].Data) > 0 || letters[0].Header.Get("Zoom-Size") != strconv.Itoa(len(body)+2) || !strings.Contains(letters[0].Header.Get("Zoom-Reason"), "it is message 1 of stream ZOOM") {
				t.Errorf("%d letters: %v", len(letters), letters[0].Header)
			}
			if sent, err := ResendDead(t.Context(), natstest.JetStream(t, w.connect()), o); err != nil || sent != (Resent{Left: 1, WithoutBody: 1}) {
				t.Errorf("%+v, %v", sent, err)
			}
		})
	}
}

// TestFewerLanes: what was in flight for many lanes is handed out again at once, even if the window
// is smaller now. Everything is delivered in the stream's order.
func TestFewerLanes(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.endpoint.setFails(func(int) string { return "503" })
			const count = 80
			for n := range count {
				w.store("meeting.started", n, n)
			}
			w.stored()
			o := w.options(8)
			o.Attempts = 1_000_000
			i := w.start(o)
			w.until("many are in flight", func() bool {
				c, err := w.js.Consumer(t.Context(), "ZOOM", "forward-team")
				return err == nil && c.CachedInfo().NumAckPending == 8*perLane
			})
			if killed {
				i.nc.Close()
			} else {
				w.end(i)
			}
			w.endpoint.setFails(func(int) string { return "" })
			o.Parallel = 1
			i = w.start(o)
			w.until("all are delivered", func() bool { return w.endpoint.count() == count })
			w.end(i)
			for n, a := range w.endpoint.accepted {
				if a.n != n {
					t.Fatalf("event %d is delivered in place %d", a.n, n)
				}
			}
		})
	}
}

// TestNameOf: different URLs get different names, and no name shows a path or a query.
func TestNameOf(t *testing.T) {
	names := make(map[string]string)
	for _, text := range []string{"https://example.com/", "https://example.com/hidden", "https://example.com/a?tenant=hidden", "https://example.com/a?tenant=b", "http://example.com/", "https://日本/", "https://" + strings.Repeat("long.", 30) + "example/"} {
		to, err := url.Parse(text)
		must(t, err)
		name := NameOf(to)
		if CheckName(name) != nil || strings.Contains(name, "hidden") || names[name] != "" || strings.Contains(webhook.Host(to), "hidden") {
			t.Errorf("%s is %q, as is %s", text, name, names[name])
		}
		names[name] = text
	}
}

// TestFullDead: delivery waits while a dead letter cannot be stored.
func TestFullDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(n int) string {
		if n == 0 {
			return "422"
		}
		return ""
	})
	full := jetstream.StreamConfig{Name: "ZOOM_DEAD", Subjects: []string{"zoom-dead.>"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: 10}
	_, err := w.js.CreateStream(t.Context(), full)
	must(t, err)
	w.store("meeting.started", 0, 8)
	w.store("meeting.ended", 1, 8)
	w.stored()
	i := w.start(w.options(1))
	w.until("refused", func() bool { return strings.Contains(w.log.String(), `"forward.unstored"`) })
	if n := w.endpoint.count(); n > 0 {
		t.Errorf("%d are delivered", n)
	}
	full.MaxBytes = 1 << 20
	_, err = w.js.UpdateStream(t.Context(), full)
	must(t, err)
	w.until("delivered", func() bool { return w.endpoint.count() == 1 })
	w.end(i)
}

// TestForeign: forward refuses a consumer that is for another endpoint, or not its own.
func TestForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := func(o Options) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Run(ctx, natstest.JetStream(t, w.connect()), o); err != nil {
			return err.Error()
		}
		return ""
	}
	o := w.options(1)
	if text := run(o); text != "" {
		t.Error(text)
	}
	moved := o
	moved.To = o.To.JoinPath("elsewhere")
	if text := run(moved); !strings.Contains(text, "delivers to another endpoint") {
		t.Error(text)
	}
	moved.Moved, moved.Parallel, moved.Events = true, 3, []string{"meeting.*"}
	if text := run(moved); text != "" {
		t.Error(text)
	}
	_, err := w.js.CreateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: "forward-mine"})
	must(t, err)
	o.Name = "mine"
	if text := run(o); !strings.Contains(text, "that zoomstream did not make") {
		t.Error(text)
	}
}

// TestForeignDeadLetters: forward refuses a stream of dead letters that would keep what was
// delivered.
func TestForeignDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM_DEAD", Subjects: []string{"zoom-dead.>"}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = Run(ctx, natstest.JetStream(t, w.connect()), w.options(1))
	if err == nil || !strings.Contains(err.Error(), "stream ZOOM_DEAD of the dead letters does not remove what was delivered") {
		t.Error(err)
	}
}

// TestInDoubt: an instance crashes with messages in flight. The consumer withholds them for so long
// that another instance gets newer ones first. Those wait.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(int) string { return "timeout" })
	o := w.options(4)
	o.pace.ackWait, o.pace.stop, o.Timeout = o.pace.pin()+2*time.Second, time.Millisecond, time.Minute
	const objects = 2
	store := func(from int) {
		for n := from; n < from+10; n++ {
			w.store("meeting.started", n, n%objects)
		}
		w.stored()
	}
	store(0)
	i := w.start(o)
	w.until("all is handed out", func() bool {
		c, err := w.js.Consumer(t.Context(), "ZOOM", "forward-team")
		return err == nil && c.CachedInfo().NumAckPending == 10
	})
	w.kill(i)
	w.endpoint.setFails(func(int) string { return "" })
	store(10)
	i = w.start(o)
	w.until("all is delivered", func() bool { return w.endpoint.count() == 20 })
	w.end(i)
	w.checkOrder(4, objects)
}

// TestAsksForMore: with one event at a time, a request that the client forgot would be repeated
// only after the one before has expired. That takes a pause of the process between two
// instructions, which no test can bring about, so this one checks the numbers.
func TestAsksForMore(t *testing.T) {
	for _, parallel := range []int{1, 2, 64} {
		f := &forwarder{Options: Options{Parallel: parallel}}
		if f.asked() < 2 || f.asked() < f.window() {
			t.Errorf("parallel=%d: it asks for %d messages at a time, and has room for %d", parallel, f.asked(), f.window())
		}
	}
}
