package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// large returns a replica with many subscriptions. It leads every second one, and each has a
// history.
func large(name string, subscriptions, samples int) *Replica {
	r := made(name)
	for i := range subscriptions {
		id := fmt.Sprintf("Hk3vQ9xYRz2mT8pLw%05d", i)
		s := standsBy(id, "other", uint64(i+1))
		if i%2 == 0 {
			s = leads(id, name, uint64(i+1))
			s.Late = Quantiles{Count: 17, P50: 0.0123, P99: 1.5}
			s.Zoom, s.Way, s.Store = s.Late, s.Late, s.Late
			s.LastFrame, s.LastEvent = time.Now(), time.Now()
			s.LastGap = &Gap{From: time.Now(), To: time.Now(), Duration: 1.5, Cause: "disconnected"}
			s.Trouble = strings.Repeat("é", 200)
		}
		for range samples {
			s.History = append(s.History, Sample{At: time.Now(), Rate: 1.25, P50: 0.0123, P99: 1.5})
		}
		r.Subscriptions = append(r.Subscriptions, s)
	}
	r.Alarms = []Alarm{{Alarm: "late", Replica: name, Since: time.Now(), Detail: strings.Repeat("x", 300)}}
	return r
}

// TestEncode: an answer is as complete as its size limit allows.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		limit     int
		shortened string
		led       int // number of led subscriptions, of 100 in all
	}{
		{8 << 20, "", 50},
		{256 << 10, "history", 50},
		{75 << 10, "details", 50},
		{30 << 10, "subscriptions", 30},
		{4 << 10, "subscriptions", 1},
		{600, "subscriptions", 0},
		{420, "subscriptions", 0},
	} {
		r := large("a", 100, 60)
		before := r.Subscriptions[0]
		text, err := encode(r, c.limit)
		must(t, err)
		if len(text) > c.limit {
			t.Errorf("for %d bytes the answer has %d", c.limit, len(text))
		}
		var got Replica
		must(t, json.Unmarshal(text, &got))
		led, complete := 0, true
		for _, s := range got.Subscriptions {
			if s.Role == Leader {
				led++
			}
			complete = complete && s.State == map[Role]string{Leader: "connected"}[s.Role]
		}
		if got.Shortened != c.shortened || led < c.led || !complete || got.Nonce != r.Nonce || got.Phase != Ready || got.Alarms == nil || got.Subscriptions == nil {
			t.Errorf("for %d bytes it is %q and has %d led subscriptions; want %q, %d\n%.300s", c.limit, got.Shortened, led, c.shortened, c.led, text)
		}
		if len(r.Subscriptions) != 100 || len(r.Subscriptions[0].History) != 60 || r.Subscriptions[0].Trouble != before.Trouble || len(r.Alarms[0].Detail) != 300 {
			t.Fatal("it changed the replica itself")
		}
	}
}

func TestEncodeSeen(t *testing.T) {
	seen := make([]Seen, 100)
	for i := range seen {
		seen[i] = Seen{ID: fmt.Sprintf("id-%03d", i), Times: 1}
	}
	for _, limit := range []int{100, 1000, 1 << 20} {
		text, err := encodeSeen("a", seen, limit)
		must(t, err)
		var got SeenAnswer
		must(t, json.Unmarshal(text, &got))
		if len(text) > limit || got.Seen == nil || limit > 1<<19 && len(got.Seen) != 100 || limit == 1000 && len(got.Seen) < 5 {
			t.Errorf("for %d bytes there are %d of %d", limit, len(got.Seen), len(text))
		}
	}
}

// TestManySubscriptions: 500 subscriptions, two replicas, and NATS' default max_payload of 1 MiB:
// with their histories, the answers would be larger.
func TestManySubscriptions(t *testing.T) {
	const many = 500
	w := newWorld(t)
	w.buckets()
	a, b := large("a", many, 120), made("b")
	for i, s := range a.Subscriptions {
		if i%2 == 0 {
			w.lease(s.Subscription, "a", 0)
			w.state(s.Subscription, "a", "connected", time.Now())
			b.Subscriptions = append(b.Subscriptions, standsBy(s.Subscription, "a", s.Epoch))
		} else {
			w.lease(s.Subscription, "dead", 0)
			w.state(s.Subscription, "dead", "connected", time.Now().Add(-time.Minute))
			b.Subscriptions = append(b.Subscriptions, standsBy(s.Subscription, "dead", s.Epoch))
		}
	}
	w.serve(w.connect(), hears(a, "b"))
	w.serve(w.connect(), hears(b, "a"))

	const wait = 300 * time.Millisecond
	o, took := w.ask(w.connect(), AskOptions{History: true, Wait: wait})
	t.Logf("%d subscriptions took %s beyond the wait for the dead", many, (took - wait).Round(time.Millisecond))
	if took > wait+5*time.Second {
		t.Errorf("it took %s", took)
	}
	answered := 0
	for i := range o.Subscriptions {
		l := &o.Subscriptions[i]
		if l.Answered {
			answered++
		}
		if l.Leader == "" || l.State != "connected" || l.LastGap == nil || len(l.Standbys) == 0 || l.Standbys[len(l.Standbys)-1] != "b" {
			t.Fatalf("one is %+v", *l)
		}
	}
	if len(o.Subscriptions) != many || answered != many/2 {
		t.Errorf("%d subscriptions, %d answered", len(o.Subscriptions), answered)
	}
	wantNote(t, o, "the answer of a was too large for NATS (max_payload), so it leaves out history")
}

// TestSmallPayload: however small max_payload is, there is an answer.
func TestSmallPayload(t *testing.T) {
	w := &world{t: t, srv: natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, MaxPayload: 1024})}
	w.serve(w.connect(), large("a", 50, 10))
	o, _ := w.ask(w.connect(), AskOptions{Wait: 200 * time.Millisecond})
	if len(o.Replicas) != 1 || !o.Replicas[0].Answered {
		t.Errorf("it is %q", lines(o))
	}
	wantNote(t, o, "it leaves out subscriptions")
}

func BenchmarkEncode(b *testing.B) {
	r := large("a", 500, 0)
	for b.Loop() {
		text, err := encode(r, 8<<20)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(text)))
	}
}
