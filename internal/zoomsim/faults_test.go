package zoomsim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestFreezeIsDeadButOpen: a frozen socket stays open but does nothing. After that, it catches
// up.
func TestFreezeIsDeadButOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{IdleTimeout: time.Minute})
		defer end()
		p := z.connect("S1")
		other := z.connect("S2")
		z.Freeze("S1", time.Hour, false)
		got := make(chan frame)
		go func() {
			for range 3 {
				got <- p.next()
			}
		}()
		go p.send(`{"module":"heartbeat"}`) // over net.Pipe, it may block until it is read
		a := z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
		b := z.Emit("S1", zoomsim.Event{Name: "meeting.ended"})
		z.Emit("S2", zoomsim.Event{Name: "meeting.started"})
		other.next() // other sockets go on
		time.Sleep(50 * time.Second)
		other.send(`{"module":"heartbeat"}`)
		other.next()
		select {
		case f := <-got:
			t.Fatalf("a frozen socket sent %+v", f)
		default:
		}
		if sum := z.Summary("S1"); sum.Queued != 2 || sum.Live != 1 {
			t.Errorf("frozen: %+v", sum)
		}
		z.do("freeze?off=true")
		for _, want := range []zoomsim.Entry{a, b} {
			if f := <-got; f.Header["x-zm-trackingid"] != want.TrackingID {
				t.Errorf("after the thaw: %+v", f)
			}
		}
		if f := <-got; f.Module != "heartbeat" {
			t.Errorf("after the thaw: %+v", f)
		}
	})
}

func TestFrozenIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{IdleTimeout: time.Minute})
		defer end()
		p := z.connect("S1")
		z.Freeze("S1", 10*time.Minute, false)
		time.Sleep(10*time.Minute + 30*time.Second)
		p.send(`{"module":"heartbeat"}`)
		if f := p.next(); f.Module != "heartbeat" {
			t.Errorf("after the freeze: %+v", f)
		}
		z.Freeze("S1", 0, false)
		time.Sleep(10 * time.Minute)
		z.Reset()
		start := time.Now()
		if p.end(); time.Since(start) != time.Minute {
			t.Errorf("closed %v after the freeze, want a minute", time.Since(start))
		}
	})
}

func TestFrozenConnectionOutlivesItsWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		z.connect("S1")
		z.CloseSockets("S1", 1000, "") // a close handshake that the client does not answer
		synctest.Wait()
		z.Freeze("S1", 0, false)
		time.Sleep(time.Minute)
		if sum := z.Summary("S1"); sum.Open != 1 {
			t.Errorf("frozen: %+v", sum)
		}
		z.do("freeze?subscription=S1&off=true")
		z.await("S1", func(s zoomsim.Summary) bool { return s.Open == 0 })
	})
}

func TestFrozenSocketStaysOpenWhenDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{IdleTimeout: -1})
		defer end()
		old := z.connect("S1")
		z.Freeze("S1", 10*time.Minute, false)
		newer := z.connect("S1") // new dials still work
		z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
		newer.next()
		start := time.Now()
		_, _, err := old.Read(t.Context())
		if took := time.Since(start); took != 10*time.Minute || websocket.CloseStatus(err) != 1000 {
			t.Errorf("the frozen socket ended after %v with %v", took, err)
		}
	})
}

func TestFrozenDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		z.Freeze("S1", time.Minute, true)
		start := time.Now()
		z.connect("S2")
		if time.Since(start) != 0 {
			t.Error("another subscription was frozen")
		}
		z.connect("S1")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the dial took %v", took)
		}
		z.Freeze("S1", 0, true)
		go func() { time.Sleep(time.Minute); z.Reset() }()
		z.connect("S1")
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("the dial took until %v", took)
		}
	})
}

func TestMute(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	z.do("mute?subscription=S1&count=2")
	for range 2 {
		if d := z.Emit("S1", zoomsim.Event{Name: "meeting.started"}); d.Socket != 0 || d.Outcome != zoomsim.Nobody {
			t.Errorf("delivery %+v", d)
		}
	}
	p.send(`{"module":"heartbeat"}`)
	if f := p.next(); f.Module != "heartbeat" {
		t.Errorf("muted: %+v", f)
	}
	d := z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	if f := p.next(); f.Header["x-zm-trackingid"] != d.TrackingID {
		t.Errorf("after the mute: %+v", f)
	}
	if sum := z.Summary("S1"); sum.Emitted != 3 || sum.Nobody != 2 {
		t.Errorf("summary %+v", sum)
	}
}

func TestLate(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	lateness := func() time.Duration {
		f := p.next()
		var body struct {
			EventTS json.Number `json:"event_ts"`
		}
		if err := json.Unmarshal([]byte(f.body(t)), &body); err != nil {
			t.Fatal(err)
		}
		ts, _ := body.EventTS.Int64()
		sent, err := strconv.ParseInt(f.Header["x-zm-request-timestamp"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(sent*1000-ts) * time.Millisecond
	}
	z.do("late?subscription=S1&by=2h&count=2")
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	z.Emit("S1", zoomsim.Event{Body: []byte(`{"payload":{"event_ts":5}, "event_ts": 17 ,"event":"x"}`)})
	z.Emit("S1", zoomsim.Event{Name: "meeting.started", Late: time.Hour})
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	for i, want := range []time.Duration{2 * time.Hour, 2 * time.Hour, time.Hour, 0} {
		if got := lateness(); (got - want).Abs() > time.Minute {
			t.Errorf("event %d is %v late, want %v", i, got, want)
		}
	}
	body := `{"payload":{"event_ts":5}, "event_ts": "17" ,"event":"x"}`
	z.Emit("S1", zoomsim.Event{Body: []byte(body), Late: time.Hour})
	if got := regexp.MustCompile(`\d{13}`).ReplaceAllString(p.next().body(t), "17"); got != body {
		t.Errorf("more than event_ts changed: %s", got)
	}
}

func TestDuplicatesAreTheSameBytes(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	z.do("duplicate?times=9")
	z.do("duplicate?subscription=S1&times=3&count=1") // takes precedence over the one for all
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	z.do("duplicate?off=true")
	z.Emit("S1", zoomsim.Event{Name: "meeting.ended", Repeat: 2})
	var frames [][]byte
	for range 5 {
		data, err := p.raw()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, data)
	}
	if !bytes.Equal(frames[0], frames[1]) || !bytes.Equal(frames[0], frames[2]) || !bytes.Equal(frames[3], frames[4]) || bytes.Equal(frames[0], frames[3]) {
		t.Errorf("frames %s", bytes.Join(frames, []byte("\n")))
	}
	if sum := z.Summary(""); sum.Emitted != 5 || sum.Copies != 3 {
		t.Errorf("summary %+v", sum)
	}
}

func TestSameTrackingComesInPairs(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	z.connect("S1")
	z.do("same-tracking?subscription=S1&count=2")
	var ids []string
	for range 6 {
		ids = append(ids, z.Emit("S1", zoomsim.Event{Name: "meeting.started"}).TrackingID)
	}
	if ids[0] != ids[1] || ids[2] != ids[3] || ids[1] == ids[2] || ids[4] == ids[5] || ids[3] == ids[4] {
		t.Errorf("ids %q", ids)
	}
}

func TestObjectContent(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	body := zoomsim.Body("meeting.started")
	z.do("object?subscription=S1&count=1")
	z.Emit("S1", zoomsim.Event{Body: body})
	z.Emit("S1", zoomsim.Event{Body: body, AsObject: true})
	z.Emit("S1", zoomsim.Event{Body: body})
	for range 2 {
		if f := p.next(); !bytes.Equal(f.Content, body) {
			t.Errorf("content %s", f.Content)
		}
	}
	if f := p.next(); f.body(t) != string(body) {
		t.Errorf("content %s", f.Content)
	}
}

func TestGarbage(t *testing.T) {
	frames := zoomsim.GarbageFrames()
	if len(frames) < 24 {
		t.Errorf("%d kinds", len(frames))
	}
	z := onTCP(t, zoomsim.Options{})
	p := z.connect("S1")
	if sent := z.do("garbage?subscription=S1").Deliveries; len(sent) != len(frames) {
		t.Fatal(len(sent))
	}
	for _, kind := range slices.Sorted(maps.Keys(frames)) {
		data, err := p.raw()
		if err != nil || !bytes.Equal(data, frames[kind]) {
			t.Fatalf("%s: %.100q %v", kind, data, err)
		}
	}
	z.SendRaw("S1", []byte{0, 1, 2}, true)
	if typ, data, err := p.Read(t.Context()); typ != websocket.MessageBinary || string(data) != "\x00\x01\x02" {
		t.Errorf("binary: %v %q %v", typ, data, err)
	}
	if sum := z.Summary(""); sum.Raw != int64(len(frames)+1) || sum.Emitted != sum.Raw {
		t.Errorf("summary %+v", sum)
	}
	if sent := z.do("garbage?subscription=S1&kinds=null,html").Deliveries; len(sent) != 2 || sent[1].Digest != sha256.Sum256(frames["html"]) {
		t.Errorf("sent %+v", sent)
	}
}

func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		p := z.connect("S1")
		z.do("slow-reader?subscription=S1&rate=10")
		// The fault does not slow the read that was already waiting.
		p.send(`{"module":"heartbeat"}`)
		p.next()
		start := time.Now()
		go p.send(`{"module":"heartbeat"}`)
		p.next()
		if took := time.Since(start); took < 2*time.Second { // 28 bytes, with the frame's header
			t.Errorf("a heartbeat was answered after %v", took)
		}
	})
}

func TestStalledClientLosesItsSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{WriteTimeout: 10 * time.Second})
		defer end()
		z.connect("S1")
		start := time.Now()
		for range 3 {
			z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
		}
		if sum := z.Summary("S1"); sum.Queued != 3 {
			t.Errorf("summary %+v", sum)
		}
		z.await("S1", func(s zoomsim.Summary) bool { return s.Live == 0 })
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("ended after %v", took)
		}
		z.await("S1", func(s zoomsim.Summary) bool { return s.Open == 0 })
		if sum := z.Summary("S1"); sum.Lost != 3 || sum.Retired[zoomsim.CauseStalled] != 1 {
			t.Errorf("summary %+v", sum)
		}
		for _, e := range z.Ledger().Missed() {
			if e.Outcome != zoomsim.Lost || e.Socket != 0 {
				t.Errorf("entry %+v", e)
			}
		}
	})
}

func TestFullQueueClosesTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		p := z.connect("S1")
		z.Freeze("S1", 0, false)
		frame := make([]byte, 15<<20)
		for range 6 {
			z.SendRaw("S1", frame, true)
		}
		if sum := z.Summary("S1"); sum.Queued != 4 || sum.Nobody != 2 || sum.Live != 0 {
			t.Errorf("summary %+v", sum)
		}
		z.Reset()
		if err := p.end(); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
			t.Errorf("end %v", err)
		}
		if n := z.Summary("S1").Retired[zoomsim.CauseOverflow]; n != 1 {
			t.Errorf("overflow %d", n)
		}
	})
}
