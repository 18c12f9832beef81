package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func wantLines(t *testing.T, o *Overview, want ...string) {
	t.Helper()
	if got := lines(o); !slices.Equal(got, want) {
		t.Errorf("the overview is\n  %s\nwant\n  %s\nnotes: %q", strings.Join(got, "\n  "), strings.Join(want, "\n  "), o.Notes)
	}
}

func wantNote(t *testing.T, o *Overview, text string) {
	t.Helper()
	if !slices.ContainsFunc(o.Notes, func(note string) bool { return strings.Contains(note, text) }) {
		t.Errorf("no note says %q: %q", text, o.Notes)
	}
}

// TestAllAnswer: if all replicas answer, Ask does not wait, and the leader's own knowledge counts.
func TestAllAnswer(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	e1, e2 := w.lease("sub-1", "a", 0), w.lease("sub-2", "b", 0)
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", e1), standsBy("sub-2", "b", e2)), "b", "c"))
	w.serve(w.connect(), hears(made("b", standsBy("sub-1", "a", e1), leads("sub-2", "b", e2)), "a", "c"))
	c := hears(made("c", standsBy("sub-1", "a", e1)), "a", "b")
	c.Alarms = []Alarm{{Alarm: "late", Subscription: "sub-1", Replica: "c", Since: time.Now(), Detail: "2 h"}}
	w.serve(w.connect(), c)

	o, took := w.ask(w.connect(), AskOptions{Wait: 30 * time.Second})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys [b c]`,
		`sub-2: leader "b" epoch 2 state "connected" answered true from "b" standbys [a]`,
		`replica a: answered true heard false leads 1 stands by 1`,
		`replica b: answered true heard false leads 1 stands by 1`,
		`replica c: answered true heard false leads 0 stands by 1`,
	)
	if took > 10*time.Second {
		t.Errorf("it waited %s although all had answered", took)
	}
	if o.Stream != "ZOOM" || len(o.Alarms) != 1 || o.Subscriptions[0].Rate != 1.5 || o.Replicas[0].Host != "host-a" || len(o.Notes) != 0 {
		t.Errorf("the overview lacks what the replicas say: %+v", o)
	}
	if err := o.Verdict(); err != nil {
		t.Errorf("the verdict is %q", err)
	}
}

// TestDeadLeader: only the buckets know about a dead leader.
func TestDeadLeader(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	e1, e2 := w.lease("sub-1", "a", 0), w.lease("sub-2", "dead", 17)
	w.state("sub-2", "dead", "connected", time.Now().Add(-time.Minute))
	w.serve(w.connect(), made("a", leads("sub-1", "a", e1), standsBy("sub-2", "dead", e2)))

	o, took := w.ask(w.connect(), AskOptions{Wait: 300 * time.Millisecond})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys []`,
		`sub-2: leader "dead" epoch 17 state "connected" answered false from "" standbys [a]`,
		`replica a: answered true heard false leads 1 stands by 1`,
		`replica dead: answered false heard true leads 1 stands by 0`,
	)
	if took < 300*time.Millisecond {
		t.Errorf("it waited %s only for a holder that may be slow", took)
	}
	dead := o.Subscriptions[1]
	if gap := dead.LastGap; gap == nil || gap.Duration != 1.5 || gap.Cause != "kicked" || !gap.Certain || dead.LastEvent.IsZero() {
		t.Errorf("the state's knowledge is missing: %+v", dead)
	}
	if err := o.Verdict(); err == nil || err.Error() != "1 of 2 subscriptions without a connected leader: sub-2" {
		t.Errorf("the verdict is %v", err)
	}
}

// TestAdoptingLeader: until a new leader has read what the previous term left, the bucket's
// knowledge of that counts.
func TestAdoptingLeader(t *testing.T) {
	lastFrame := time.Now().Add(-2 * time.Hour).Round(time.Millisecond)
	for name, c := range map[string]struct {
		before  string // the state in the bucket
		answers bool   // whether the leader of the previous term answers
		own     Subscription
		since   time.Duration // after lastFrame; -1: since it began to lead
		gap     bool
	}{
		"not connected before":    {before: "disconnected", own: Subscription{State: "disconnected", Adopting: true}, since: -time.Minute, gap: true},
		"died":                    {before: "connected", own: Subscription{State: "disconnected", Adopting: true}, since: 0, gap: true},
		"connected until it is":   {before: "connected", answers: true, own: Subscription{State: "disconnected", Adopting: true}, since: -1, gap: true},
		"connected itself":        {before: "disconnected", own: Subscription{State: "connected", Connection: 1, Adopting: true}, since: -1, gap: true},
		"knows what there was":    {before: "disconnected", own: Subscription{State: "connected", Connection: 1}, since: -1},
		"disconnected in its own": {before: "disconnected", own: Subscription{State: "disconnected", Connection: 1, Adopting: true}, since: -1, gap: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.buckets()
			w.state("sub-1", "before", c.before, lastFrame)
			own := leads("sub-1", "a", w.lease("sub-1", "a", 0))
			own.State, own.Connection, own.Adopting = c.own.State, c.own.Connection, c.own.Adopting
			w.serve(w.connect(), hears(made("a", own), "before"))
			if c.answers {
				w.serve(w.connect(), made("before", standsBy("sub-1", "a", own.Epoch)))
			}
			o, _ := w.ask(w.connect(), AskOptions{Wait: 200 * time.Millisecond})
			want := lastFrame.Add(c.since)
			if c.since == -1 {
				want = own.StateSince
			}
			if l := o.Subscriptions[0]; !l.Answered || !l.StateSince.Equal(want) || (l.LastGap != nil) != c.gap {
				t.Errorf("%s since %s, want %s; the last gap is %v", l.State, l.StateSince, want, l.LastGap)
			}
		})
	}
}

// TestOnlyBuckets: if no replica answers everything comes from the buckets, without a wait.
func TestOnlyBuckets(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	w.lease("sub-1", "a", 0)
	w.state("sub-1", "a", "connected", time.Now())
	w.state("sub-2", "b", "disconnected", time.Now())
	w.put(bucket, "lease.sub-3", "no record")
	w.lease("sub-4", "a", 0)
	_, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "$KV." + bucket + ".lease.sub-4", Header: nats.Header{"KV-Operation": {"PURGE"}}})
	must(t, err)

	o, took := w.ask(w.connect(), AskOptions{Wait: 30 * time.Second})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered false from "" standbys []`,
		`sub-2: leader "" epoch 0 state "disconnected" answered false from "" standbys []`,
		`sub-3: leader "?" epoch 2 state "" answered false from "" standbys []`,
		`replica ?: answered false heard false leads 1 stands by 0`,
		`replica a: answered false heard true leads 1 stands by 0`,
	)
	if took > 10*time.Second {
		t.Errorf("it waited %s although there is no responder", took)
	}
	if err := o.Verdict(); err == nil || !strings.Contains(err.Error(), "no replica answers") {
		t.Errorf("the verdict is %v", err)
	}
}

// TestSilentStandby: a standby that others hear, but that does not answer, is waited for and shown.
func TestSilentStandby(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	e := w.lease("sub-1", "a", 0)
	a := hears(made("a", leads("sub-1", "a", e)), "silent")
	w.serve(w.connect(), a)
	nc := w.connect()
	o, took := w.ask(nc, AskOptions{Wait: 300 * time.Millisecond})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys []`,
		`replica a: answered true heard false leads 1 stands by 0`,
		`replica silent: answered false heard true leads 0 stands by 0`,
	)
	if took < 300*time.Millisecond {
		t.Errorf("it waited %s only", took)
	}
}

// TestGone: a vanished replica is shown as gone if another one remembers it: once, and only if it
// was not started again and nobody hears it. Ask does not wait for it.
func TestGone(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	a := made("a", leads("sub-1", "a", w.lease("sub-1", "a", 0)))
	heard := time.Now().Add(-3 * time.Minute)
	a.Gone = []Other{{Replica: "killed", Nonce: "1", Heard: heard}, {Replica: "a", Nonce: "2", Heard: heard}, {Replica: "b", Nonce: "b", Heard: heard}}
	// It leads one, so that Ask waits for it.
	b := made("b", standsBy("sub-1", "a", 1), leads("sub-2", "b", w.lease("sub-2", "b", 0)))
	b.Gone = []Other{{Replica: "killed", Nonce: "1", Heard: heard.Add(time.Second)}, {Replica: "killed", Nonce: "0", Heard: heard.Add(-time.Minute)}}
	w.serve(w.connect(), a)
	w.serve(w.connect(), b)
	w.state("abandoned", "x", "disconnected", time.Now())
	o, took := w.ask(w.connect(), AskOptions{Wait: 30 * time.Second})
	wantLines(t, o,
		`abandoned: leader "" epoch 0 state "disconnected" answered false from "" standbys []`,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys [b]`,
		`sub-2: leader "b" epoch 2 state "connected" answered true from "b" standbys []`,
		`replica a: answered true heard false leads 1 stands by 0`,
		`replica b: answered true heard false leads 1 stands by 1`,
		`replica killed: answered false heard true leads 0 stands by 0`,
	)
	if m := o.Replicas[2]; !m.Gone || !m.Heard.Equal(heard.Add(time.Second)) || o.Replicas[0].Gone || o.Replicas[1].Gone {
		t.Errorf("%+v", o.Replicas)
	}
	if !o.Subscriptions[0].Unused || o.Verdict() != nil {
		t.Errorf("a replica that is gone is trouble: %v, %+v", o.Verdict(), o.Subscriptions[0])
	}
	var table strings.Builder
	if err := o.Table(&table, Look{}); err != nil || !strings.Contains(table.String(), "killed   gone, last seen ") {
		t.Errorf("%s", &table)
	}
	if took > 10*time.Second {
		t.Errorf("it waited %s for a replica that is gone", took)
	}
	if alone := Alone("zoomstream", a); len(alone.Replicas) != 1 {
		t.Errorf("one that cannot ask tells of %+v", alone.Replicas)
	}
}

// TestNotWaitedFor: Ask does not wait for replicas that leave, were heard long ago, or run again
// under the same name.
func TestNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	a := made("a", leads("sub-1", "a", w.lease("sub-1", "a", 0)))
	a.Others = []Other{
		{Replica: "leaving", Nonce: "1", Heard: time.Now().Add(time.Minute), Leaving: true},
		{Replica: "long-ago", Nonce: "2", Heard: time.Now().Add(-time.Minute)},
		{Replica: "a", Nonce: "3", Heard: time.Now().Add(-time.Minute)},
	}
	w.serve(w.connect(), a)
	o, took := w.ask(w.connect(), AskOptions{Wait: 30 * time.Second})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys []`,
		`replica a: answered true heard false leads 1 stands by 0`,
		`replica long-ago: answered false heard true leads 0 stands by 0`,
	)
	if took > 10*time.Second {
		t.Errorf("it waited %s", took)
	}
}

// TestTwoClaims: if two replicas claim to lead, the lease's holder counts. If the lease has moved
// on since or is gone, the newest epoch counts.
func TestTwoClaims(t *testing.T) {
	for _, c := range []struct {
		name, holder   string
		held           uint64
		leader, answer string
	}{
		{"the lease is the older one's", "a", 5, "a", "true"},
		{"the lease is the newer one's", "b", 7, "b", "true"},
		{"the lease is older than both", "c", 3, "b", "true"},
		{"the lease is newer than both", "c", 9, "c", "false"},
		{"no lease", "", 0, "b", "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.buckets()
			if c.holder != "" {
				w.lease("sub-1", c.holder, c.held)
			}
			w.serve(w.connect(), hears(made("a", leads("sub-1", "a", 5)), "b"))
			w.serve(w.connect(), hears(made("b", leads("sub-1", "b", 7)), "a"))
			patience := 30 * time.Second
			if c.holder == "c" { // c never answers
				patience = 2 * time.Second
			}
			o, _ := w.ask(w.connect(), AskOptions{Wait: patience})
			l := o.Subscriptions[0]
			if len(o.Subscriptions) != 1 || l.Leader != c.leader || fmt.Sprint(l.Answered) != c.answer || len(l.Standbys) != 0 {
				t.Errorf("the leader is %q, answered %v, standbys %v; want %q, %s", l.Leader, l.Answered, l.Standbys, c.leader, c.answer)
			}
			wantNote(t, o, "2 replicas say that they lead sub-1: b (epoch 7), a (epoch 5)")
		})
	}
}

// TestWhoIsNoStandby: a replica that is stopping, or whose credentials Zoom refuses, is no standby.
func TestWhoIsNoStandby(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	e := w.lease("sub-1", "a", 0)
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", e)), "b", "c"))
	b, c := made("b", standsBy("sub-1", "a", e)), made("c", standsBy("sub-1", "a", e))
	b.Phase, c.Token.Denied = Draining, true
	w.serve(w.connect(), b)
	w.serve(w.connect(), c)
	o, _ := w.ask(w.connect(), AskOptions{Wait: 30 * time.Second})
	if len(o.Replicas) != 3 || len(o.Subscriptions[0].Standbys) != 0 || o.Replicas[1].StandsBy+o.Replicas[2].StandsBy != 0 {
		t.Errorf("it is %q", lines(o))
	}
}

// TestNoJetStream: without JetStream, the overview has only the replicas' answers.
func TestNoJetStream(t *testing.T) {
	w := &world{t: t, srv: natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1})}
	nc := w.connect()
	if _, err := Ask(t.Context(), natstest.JetStream(t, nc), AskOptions{Bucket: bucket}); err == nil ||
		!strings.Contains(err.Error(), "no replica answers") || !strings.Contains(err.Error(), "JetStream is not available") {
		t.Errorf("with nothing at all the error is %v", err)
	}
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", 1), standsBy("sub-2", "dead", 2)), "dead"))
	o, _ := w.ask(nc, AskOptions{Wait: 200 * time.Millisecond})
	wantLines(t, o,
		`sub-1: leader "a" epoch 1 state "connected" answered true from "a" standbys []`,
		`sub-2: leader "dead" epoch 2 state "" answered false from "a" standbys [a]`,
		`replica a: answered true heard false leads 1 stands by 1`,
		`replica dead: answered false heard true leads 1 stands by 0`,
	)
	wantNote(t, o, "JetStream is not available")
}

func TestNeverRan(t *testing.T) {
	w := newWorld(t)
	_, err := Ask(t.Context(), natstest.JetStream(t, w.connect()), AskOptions{Bucket: bucket})
	if err == nil || !strings.Contains(err.Error(), "zoomstream has never run on this NATS with ZOOMSTREAM_BUCKET=zoomstream, or it is just starting, or is waiting for something: see its log and /status") {
		t.Errorf("the error is %v", err)
	}
}

func TestNATSAway(t *testing.T) {
	w := newWorld(t)
	nc := w.connect(nats.MaxReconnects(-1))
	natstest.Stop(w.srv)
	eventually(t, "the connection is lost", func() bool { return !nc.IsConnected() })
	if _, err := Ask(t.Context(), natstest.JetStream(t, nc), AskOptions{Bucket: bucket}); err == nil || err.Error() != "NATS is not connected" {
		t.Errorf("the error is %v", err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", 1)), "silent"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	started := time.Now()
	if _, err := Ask(ctx, natstest.JetStream(t, w.connect()), AskOptions{Bucket: bucket, Wait: time.Minute}); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 10*time.Second {
		t.Errorf("after %s the error is %v", time.Since(started), err)
	}
}

// TestStrangeAnswers: invalid answers are noted, and do no harm.
func TestStrangeAnswers(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", w.lease("sub-1", "a", 0))), "silent"))
	stranger := w.connect()
	_, err := stranger.Subscribe(statusSubject(bucket), func(m *nats.Msg) {
		failure := nats.Header{"Nats-Service-Error": {"ill"}, "Nats-Service-Error-Code": {"500"}}
		must(t, errors.Join(m.Respond([]byte("{")), m.Respond([]byte("{}")), m.RespondMsg(&nats.Msg{Header: failure})))
	})
	must(t, err)
	must(t, stranger.Flush())
	o, _ := w.ask(w.connect(), AskOptions{})
	if len(o.Subscriptions) != 1 || !o.Subscriptions[0].Answered || len(o.Notes) != 2 {
		t.Fatalf("it is %q, notes %q", lines(o), o.Notes)
	}
	wantNote(t, o, "that is no replica")
	wantNote(t, o, "a replica could not answer: ill")
}

// TestForgedAnswers: anybody who may subscribe to the subject can forge answers. They are checked
// and bounded, and true ones are not lost.
func TestForgedAnswers(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	for n := range 300 {
		w.put(bucket, fmt.Sprintf("lease.x%d.y", n), "no subscription's key")
	}
	long := strings.Repeat("x", 100_000)
	w.put(bucket+"-state", "state.sub-1", map[string]any{"state": "connected", "replica": "a", "nonce": "a", "since": time.Now(), "end": long, "raised": []string{long}})
	w.put(bucket+"-state", "state.sub-2", map[string]any{"state": "connected", "replica": long, "nonce": "a", "since": time.Now()})
	w.serve(w.connect(), hears(made("a", leads("sub-1", "a", w.lease("sub-1", "a", 0))), "silent")) // Ask waits for it

	many := func(one string, n int) string { return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]" }
	texts := []string{
		`{"replica":"x\u001b[2J","nonce":"m"}`, `{"replica":"x","nonce":"` + long + `"}`, `{"replica":"x","nonce":">"}`, `[]`, `{"replica":"x","nonce":"m","others":7}`,
		`{"replica":"lists","nonce":"m","subscriptions":` + many(`{}`, 300_000) + `}`,
		`{"replica":"lists","nonce":"m2","others":` + many(`{}`, 100_000) + `,"alarms":` + many(`{"detail":"y"}`, 10_000) + `}`,
		`{"replica":"lists","nonce":"m3","subscriptions":[{"subscription":"sub-9","trouble":"` + long + `","history":` + many(`{}`, 200_000) + `}]}`,
	}
	for n := range 600 {
		texts = append(texts, fmt.Sprintf(`{"replica":"forged","nonce":"f%d"}`, n))
	}
	for n := range 100 {
		texts = append(texts, fmt.Sprintf(`%d`, n))
	}
	stranger := w.connect()
	_, err := stranger.Subscribe(statusSubject(bucket), func(m *nats.Msg) {
		time.AfterFunc(20*time.Millisecond, func() { // after the true ones
			for _, text := range texts {
				m.Respond([]byte(text)) //nolint:errcheck // who asked may have gone
			}
		})
	})
	must(t, err)
	must(t, stranger.Flush())
	o, _ := w.ask(w.connect(), AskOptions{Wait: 700 * time.Millisecond})
	text, err := o.JSON("")
	must(t, err)
	if len(o.Replicas) > 260 || len(o.Subscriptions) > 10 || len(o.Alarms) > 5000 || len(o.Notes) > 8 || len(text) > 2<<20 {
		t.Errorf("%d replicas, %d subscriptions, %d alarms, %d bytes, notes %.300q", len(o.Replicas), len(o.Subscriptions), len(o.Alarms), len(text), o.Notes)
	}
	if i := slices.IndexFunc(o.Subscriptions, func(l Line) bool { return l.Subscription.Subscription == "sub-1" }); i < 0 || !o.Subscriptions[i].Answered || o.Subscriptions[i].Leader != "a" {
		t.Errorf("what is true is lost: %.300s", text)
	}
}

// TestAnswerIsTakenBeforeItsHandlerReturns: an answer that is taken before its handler has returned
// still counts as pending. Ask must not wait for it, since nothing else comes.
func TestAnswerIsTakenBeforeItsHandlerReturns(t *testing.T) {
	w := newWorld(t)
	nc := w.connect()
	q := &inquiry{nc: nc, in: make(chan *nats.Msg, 16), answers: make(map[string]*Replica)}
	returns := make(chan struct{})
	var err error
	q.sub, err = nc.Subscribe("answers", func(msg *nats.Msg) {
		q.in <- msg
		<-returns
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("answers", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	q.take(<-q.in)
	time.AfterFunc(50*time.Millisecond, func() { close(returns) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := q.takeRest(ctx); err != nil {
		t.Error(err)
	}
}
