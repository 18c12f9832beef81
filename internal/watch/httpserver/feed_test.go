package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/message"
)

// source is a Feed on a real nats-server.
type source struct {
	*Feed
	t       *testing.T
	server  atomic.Pointer[server.Server]
	options server.Options
	own     *nats.Conn // the feed's connection
	nc      *nats.Conn // the test's connection
	js      jetstream.JetStream
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{t: t}
	s.options = server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()}
	s.boot()
	s.own, s.nc = s.connect(), s.connect()
	var err error
	if s.js, err = jetstream.New(s.nc); err != nil {
		t.Fatal(err)
	}
	s.create()
	own := natstest.JetStream(s.t, s.own)
	s.Feed = &Feed{Stream: "ZOOM", Prefix: "zoom", Leaders: &Leaders{}, JS: func() (jetstream.JetStream, error) {
		if !s.own.IsConnected() {
			return nil, ErrNoNATS
		}
		return own, nil
	}, Connect: func(context.Context) (jetstream.JetStream, error) {
		if !s.own.IsConnected() {
			return nil, ErrNoNATS
		}
		return natstest.JetStream(s.t, s.connect()), nil
	}}
	return s
}

func (s *source) boot() {
	options := s.options
	s.server.Store(natstest.Start(s.t, &options))
}

func (s *source) connect() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(running{s}), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *source) create() {
	s.t.Helper()
	if _, err := s.js.CreateStream(s.t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *source) drop() {
	s.t.Helper()
	if err := s.js.DeleteStream(s.t.Context(), "ZOOM"); err != nil {
		s.t.Fatal(err)
	}
}

// put stores count messages on a subject. In the body, # stands for the message's number.
func (s *source) put(count int, subject, body string, header nats.Header) {
	s.t.Helper()
	for n := range count {
		text := strings.ReplaceAll(body, "#", fmt.Sprint(n+1))
		if _, err := s.js.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Data: []byte(text), Header: header}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *source) alarm(name string, raised bool) {
	s.t.Helper()
	if _, err := s.js.PublishMsg(s.t.Context(), message.Alarm{Name: name, Raised: raised, Subscription: "sub-1", Replica: "replica-1", At: time.Now().UTC(), Detail: "because"}.Msg("zoom")); err != nil {
		s.t.Fatal(err)
	}
}

// patience is how long the page lets a request take, and promptly by when it must then have ended:
// the page waits for it, and the process for the page.
const (
	patience = time.Second
	promptly = 3 * time.Second
)

// within calls f with a context that ends after patience. It fails the test if f does not return
// promptly.
func within[T any](t *testing.T, what string, f func(context.Context) (T, error)) (T, error) {
	t.Helper()
	type result struct {
		all T
		err error
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		all, err := f(ctx)
		done <- result{all, err}
	}()
	select {
	case r := <-done:
		return r.all, r.err
	case <-time.After(promptly):
		t.Fatalf("%s goes on after its context has ended", what)
		panic("unreachable")
	}
}

func (s *source) events() []page.Event {
	s.t.Helper()
	all, err := s.Events(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *source) timeline() []page.Moment {
	s.t.Helper()
	all, err := s.Timeline(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.sinceItBegan(all)
}

// sinceItBegan removes the moment of the stream's creation, which must be there once.
func (s *source) sinceItBegan(all []page.Moment) []page.Moment {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), "ZOOM")
	if err != nil {
		s.t.Fatal(err)
	}
	began := 0
	rest := slices.DeleteFunc(all, func(m page.Moment) bool {
		if m.Kind != page.KindBegan {
			return false
		}
		began++
		if !m.At.Equal(stream.CachedInfo().Created) {
			s.t.Errorf("the stream was created at %s, and the timeline says %s", stream.CachedInfo().Created, m.At)
		}
		return true
	})
	if began != 1 {
		s.t.Errorf("the stream began %d times", began)
	}
	return rest
}

// running connects to the server that runs now.
type running struct{ s *source }

func TestLastEvents(t *testing.T) {
	s := newSource(t)
	if all := s.events(); len(all) != 0 {
		t.Errorf("an empty stream has %+v", all)
	}
	happened := time.Now().Add(-2 * time.Hour).UnixMilli()
	s.put(50, "zoom.meeting.started", fmt.Sprintf(`{"event":"meeting.started","event_ts":%d,"payload":{"object":{"topic":"talk #"}}}`, happened),
		nats.Header{"Zoom-Event": {"meeting.started"}, "Zoom-Subscription": {"sub-1"}, "Nats-Msg-Id": {""}})
	for range 3 {
		all := s.events()
		if len(all) != lastEvents || all[0].Seq != 50 || all[lastEvents-1].Seq != 31 {
			t.Fatalf("%d events: %+v", len(all), all)
		}
		e := all[0]
		if e.Topic != "talk 50" || e.Event != "meeting.started" || e.Subscription != "sub-1" || e.LateSeconds == nil || *e.LateSeconds < 7190 || *e.LateSeconds > 7300 || e.At.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	s.put(3, "zoom.meeting.ended", `{"event":"meeting.ended"}`, nats.Header{"Zoom-Event": {"meeting.ended"}})
	all := s.events()
	if len(all) != lastEvents || all[0].Seq != 53 || all[0].LateSeconds != nil || all[0].Topic != "" || all[3].Topic != "talk 50" || all[lastEvents-1].Seq != 34 {
		t.Errorf("%+v", all)
	}
}

// TestHostileEvents: whatever is in the stream, its events are shown.
func TestHostileEvents(t *testing.T) {
	s := newSource(t)
	deep := strings.Repeat(`{"payload":`, 20_000)
	for _, body := range []string{
		"", "null", "[]", `"x"`, "{", deep, `{"payload":[]}`, `{"payload":{"object":[{"topic":"x"}]}}`, `{"payload":{"object":{"topic":7}}}`,
		`{"payload":{"object":{"topic":{"a":1}}}}`, "\xff\x00\x1b[31m", `{"event_ts":1e400}`, `{"event_ts":-9223372036854775808}`, `{"event_ts":"x"}`,
		`{"payload":{"object":{"topic":"` + strings.Repeat("x", 900_000) + `"}}}`,
	} {
		s.put(1, "zoom.a", body, nats.Header{"Zoom-Event": {"a"}})
		if all := s.events(); len(all) == 0 || all[0].Event != "a" || all[0].LateSeconds != nil || len(all[0].Topic) > 2*page.MaxText {
			t.Errorf("%.80q: %+v", body, all)
		}
	}
	s.put(1, "zoom.a", "x", nil)
	s.put(1, "zoom._bridge.malformed", "x", nats.Header{"Zoom-Reason": {"not json"}, "Zoom-Subscription": {"sub-1"}})
	s.put(1, "zoom._bridge.gap", "x", nats.Header{"Zoom-Event": {"", ""}, "Zoom-Subscription": nil})
	all := s.events()
	if len(all) < 3 || all[0].Event != "_bridge.gap" || !all[1].Malformed || all[1].Reason != "not json" || all[2].Event != "a" {
		t.Errorf("%+v", all)
	}
}

// TestEventsOfABurst: the number of requests to NATS does not grow with the number of events.
func TestEventsOfABurst(t *testing.T) {
	s := newSource(t)
	s.put(1, "zoom.a", "{}", nil)
	s.events()
	for range 3 {
		for range 10_000 {
			if err := s.nc.Publish("zoom.a", []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.nc.Flush(); err != nil {
			t.Fatal(err)
		}
		s.settled()
		before := s.own.Stats().OutMsgs
		all := s.events()
		if asked := s.own.Stats().OutMsgs - before; asked > lastEvents+2 {
			t.Errorf("%d requests for %d events", asked, lastEvents)
		}
		if len(all) != lastEvents || all[0].Seq-all[lastEvents-1].Seq != lastEvents-1 {
			t.Errorf("%+v", all)
		}
	}
	before := s.own.Stats().OutMsgs
	s.events()
	if asked := s.own.Stats().OutMsgs - before; asked > 1 {
		t.Errorf("%d requests when nothing is new", asked)
	}
}

// settled waits until everything that was published is stored.
func (s *source) settled() {
	s.t.Helper()
	for last := uint64(0); ; time.Sleep(20 * time.Millisecond) {
		stream, err := s.js.Stream(s.t.Context(), "ZOOM")
		if err != nil {
			s.t.Fatal(err)
		}
		now := stream.CachedInfo().State.LastSeq
		if now == last {
			return
		}
		last = now
	}
}

func TestEventsAroundDeletedMessages(t *testing.T) {
	s := newSource(t)
	s.put(30, "zoom.a", "#", nil)
	stream, err := s.js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(12); seq <= 30; seq += 2 {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if all := s.events(); len(all) != 10 || all[0].Seq != 29 || all[9].Seq != 11 {
		t.Errorf("%+v", all)
	}
	s.put(5, "zoom.a", "#", nil)
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.put(2, "zoom.a", "#", nil)
	if all := s.events(); all[0].Seq != 37 || all[1].Seq != 36 {
		t.Errorf("%+v", all)
	}
}

// TestDeletedMessagesAreAskedForOnce: deleted messages are not requested again at every look.
func TestDeletedMessagesAreAskedForOnce(t *testing.T) {
	s := newSource(t)
	s.put(30, "zoom.a", "#", nil)
	stream, err := s.js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(16); seq <= 30; seq++ {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	s.events()
	before := s.own.Stats().OutMsgs
	s.events()
	if asked := s.own.Stats().OutMsgs - before; asked > 2 {
		t.Errorf("%d requests when nothing is new", asked)
	}
}

// TestEventsOfAStreamMadeAnew: no events of a deleted stream are shown, and all events of the new
// one.
func TestEventsOfAStreamMadeAnew(t *testing.T) {
	for _, fresh := range []int{0, 3, 10, 15} {
		t.Run(fmt.Sprint(fresh), func(t *testing.T) {
			s := newSource(t)
			s.put(10, "zoom.old", "#", nil)
			s.events()
			s.drop()
			s.create()
			s.put(fresh, "zoom.new", "#", nil)
			all := s.events()
			if len(all) != fresh {
				t.Errorf("%d events, want %d", len(all), fresh)
			}
			for _, e := range all {
				if e.Subject != "zoom.new" {
					t.Errorf("message %d on %s is of the stream that was deleted", e.Seq, e.Subject)
				}
			}
		})
	}
}

// TestNothingToReadFrom: without the stream there is an error within a bounded time. Once the
// stream is back, everything works again.
func TestNothingToReadFrom(t *testing.T) {
	s := newSource(t)
	s.put(2, "zoom.a", "#", nil)
	s.alarm("late", true)
	if len(s.events()) != 3 || len(s.timeline()) != 1 {
		t.Fatal("not read")
	}
	s.drop()
	if all, err := within(t, "Events without the stream", s.Events); err == nil {
		t.Errorf("events of a stream that is gone: %+v", all)
	}
	if all, err := within(t, "Timeline without the stream", s.Timeline); err == nil {
		t.Errorf("timeline of a stream that is gone: %+v", all)
	}
	s.create()
	s.put(1, "zoom.a", "#", nil)
	if all := s.events(); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	s.alarm("silent", true)
	if all := s.timeline(); len(all) != 1 || all[0].Name != "silent" {
		t.Errorf("%+v", all)
	}
}

// TestNATSAway: while NATS is away, a viewer gets an error within a bounded time, and the end of
// the process does not wait.
func TestNATSAway(t *testing.T) {
	s := newSource(t)
	s.put(1, "zoom.a", "#", nil)
	s.alarm("late", true)
	s.events()
	s.timeline()
	natstest.Stop(s.server.Load())
	if _, err := within(t, "Events while NATS is away", s.Events); err == nil {
		t.Error("events without NATS")
	}
	if _, err := within(t, "Timeline while NATS is away", s.Timeline); err == nil {
		t.Error("a timeline without NATS, and no error")
	}
}

// TestConnectionClosed: a connection that was closed at the end of the process causes an error, not
// a hang.
func TestConnectionClosed(t *testing.T) {
	s := newSource(t)
	s.alarm("late", true)
	s.timeline()
	s.own.Close()
	if _, err := within(t, "Timeline after the end", s.Timeline); err == nil {
		t.Error("a timeline without a connection, and no error")
	}
}

func TestTimeline(t *testing.T) {
	s := newSource(t)
	if all := s.timeline(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	now := time.Now().UTC()
	gap, err := json.Marshal(message.Gap{
		Subscription: "sub-1", From: now.Add(-3 * time.Hour), To: now.Add(-2 * time.Hour), Cause: message.GapCrash, Detail: "reset", PreviousReplica: "replica-2", Replica: "replica-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.alarm("late", true)
	s.put(1, "zoom._bridge.gap", string(gap), nil)
	s.put(1, "zoom._bridge.malformed", "x", nats.Header{"Zoom-Reason": {"not json"}, "Zoom-Subscription": {"sub-1"}})
	s.alarm("late", false)
	s.Leaders.Leads("sub-1", "replica-1", "", now.Add(-4*time.Hour))
	s.Leaders.Leads("sub-1", "replica-0", "", now.Add(-25*time.Hour)) // too old
	s.put(100, "zoom.meeting.started", "{}", nil)
	s.put(1, "zoom._bridge.gap", "no json", nil)
	s.put(1, "zoom._bridge.unknown", "{}", nil)
	for range 3 {
		all := s.timeline()
		if len(all) != 5 {
			t.Fatalf("%d moments: %+v", len(all), all)
		}
		for n, want := range []page.Moment{
			{Kind: page.KindLeader, Replica: "replica-1"}, {Kind: page.KindGap, Replica: "replica-1", Previous: "replica-2", Name: "crash", Detail: "reset"},
			{Kind: page.KindAlarm, Name: "late", Detail: "because", Replica: "replica-1"}, {Kind: page.KindMalformed, Detail: "not json"}, {Kind: page.KindCleared, Name: "late", Detail: "because", Replica: "replica-1"},
		} {
			m := all[n]
			if m.At.IsZero() || m.Subscription != "sub-1" || (n > 0 && m.At.Before(all[n-1].At)) || (want.Kind == page.KindGap) == m.Until.IsZero() {
				t.Errorf("moment %d: %+v", n, m)
			}
			m.At, m.Until, m.Subscription = time.Time{}, time.Time{}, ""
			if m != want {
				t.Errorf("moment %d is %+v, want %+v", n, m, want)
			}
		}
	}
	s.alarm("silent", true)
	if all := s.timeline(); len(all) != 6 || all[5].Name != "silent" {
		t.Errorf("%+v", all)
	}
}

// TestCrashesAreNamed: a crash is recognised by the lease or, if that has expired, by the gap.
func TestCrashesAreNamed(t *testing.T) {
	s := newSource(t)
	now := time.Now().UTC()
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	s.Leaders.Leads("sub-1", "a", page.Handover, at(-50))
	s.Leaders.Leads("sub-1", "b", page.Handover, at(-40)) // orderly stop
	s.Leaders.Leads("sub-1", "a", page.Crash, at(-30))    // killed
	s.Leaders.Leads("sub-1", "b", page.Handover, at(-20)) // host lost: the lease expires
	s.Leaders.Leads("sub-1", "a", "", at(-10))            // by a replica of an older version
	for _, end := range []time.Time{at(-20).Add(2 * time.Second), at(-39), at(-45)} {
		gap, err := json.Marshal(message.Gap{Subscription: "sub-1", From: end.Add(-time.Second), To: end, Cause: message.GapCrash, Replica: "b"})
		if err != nil {
			t.Fatal(err)
		}
		s.put(1, "zoom._bridge.gap", string(gap), nil)
	}
	var how []string
	for _, m := range s.timeline() {
		if m.Kind == page.KindLeader {
			how = append(how, m.Name)
		}
	}
	if want := []string{"", page.Handover, page.Crash, page.Crash, ""}; !slices.Equal(how, want) {
		t.Errorf("%q, want %q", how, want)
	}
}

// TestTimelineIsBounded: of a flood of broken frames, only the latest are kept.
func TestTimelineIsBounded(t *testing.T) {
	s := newSource(t)
	for n := range keepControl + 500 {
		if err := s.nc.PublishMsg(&nats.Msg{Subject: "zoom._bridge.malformed", Header: nats.Header{"Zoom-Reason": {fmt.Sprint(n + 1)}}}); err != nil {
			t.Fatal(err)
		}
	}
	s.settled()
	all := s.timeline()
	if len(all) != keepControl || all[0].Detail != "501" || all[len(all)-1].Detail != fmt.Sprint(keepControl+500) {
		t.Errorf("%d moments", len(all))
	}
}

// TestTimelineCostsLittle: while nothing happens, a look does not have the server create and drop a
// consumer.
func TestTimelineCostsLittle(t *testing.T) {
	s := newSource(t)
	s.alarm("late", true)
	s.timeline()
	made := make(chan *nats.Msg, 1000)
	sub, err := s.nc.ChanSubscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", made)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the test is over
	if err := s.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	const looks = 10
	for range looks {
		s.timeline()
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(made); n > looks/2 {
		t.Errorf("%d consumers were made for %d looks", n, looks)
	}
}

// TestTimelineWhenNobodyLooks: after a time without viewers, what was read is dropped, and read
// again at the next look.
func TestTimelineWhenNobodyLooks(t *testing.T) {
	s := newSource(t)
	s.alarm("late", true)
	s.timeline()
	s.control.looked = time.Now().Add(-2 * idleAfter)
	s.alarm("late", false)
	if all := s.timeline(); len(all) != 2 || all[0].Kind != page.KindAlarm || all[1].Kind != page.KindCleared {
		t.Errorf("%+v", all)
	}
}

// TestTimelineOfAServerThatComesBack: after a restart of the server its in-memory consumers are
// gone. The timeline recovers.
func TestTimelineOfAServerThatComesBack(t *testing.T) {
	s := newSource(t)
	s.alarm("late", true)
	s.timeline()
	natstest.Stop(s.server.Load())
	s.boot()
	back := func(nc *nats.Conn) bool { return nc.Stats().Reconnects > 0 && nc.IsConnected() } // a connection may notice late that the server was gone
	for !back(s.own) || !back(s.nc) {
		time.Sleep(5 * time.Millisecond)
	}
	s.alarm("late", false)
	deadline := time.Now().Add(5 * time.Second)
	for {
		all, err := within(t, "Timeline", s.Timeline)
		if err == nil {
			all = s.sinceItBegan(all)
		}
		if err == nil && len(all) == 2 && all[0].Kind == page.KindAlarm && all[1].Kind == page.KindCleared {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", all, err)
		}
	}
}

// TestTimelineOfAStreamMadeAnew: the stream is created anew between two looks.
func TestTimelineOfAStreamMadeAnew(t *testing.T) {
	s := newSource(t)
	s.put(20, "zoom.a", "{}", nil)
	s.alarm("late", true)
	s.timeline()
	s.drop()
	s.create()
	s.alarm("silent", true)
	if all := s.timeline(); len(all) != 1 || all[0].Name != "silent" {
		t.Errorf("%+v", all)
	}
}

func TestWithoutAConnection(t *testing.T) {
	f := &Feed{JS: func() (jetstream.JetStream, error) { return nil, ErrNoNATS }, Stream: "ZOOM", Prefix: "zoom", Leaders: &Leaders{}}
	f.Leaders.Leads("sub-1", "replica-1", "", time.Now())
	if all, err := f.Events(t.Context()); err == nil || all != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := f.Timeline(t.Context()); err == nil || len(all) != 1 { // the leaders are known without NATS
		t.Errorf("%+v, %v", all, err)
	}
}

func (r running) InProcessConn() (net.Conn, error) { return r.s.server.Load().InProcessConn() }
