package zoom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const subscription = "sub-1"

// world is a simulated Zoom and its client, on fake time.
type world struct {
	sim    *zoomsim.Sim
	server *pipenet.Server
	tokens *TokenSource
	dialer *Dialer
	log    *syncbuf.Buffer
}

// bubble runs f on fake time with a simulated Zoom. It fails the test if the log contains a secret
// afterwards.
func bubble(t *testing.T, opt zoomsim.Options, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opt.ClientID, opt.ClientSecret = "the-client", "the-secret"
		w := &world{sim: zoomsim.New(opt), log: &syncbuf.Buffer{}}
		w.server = pipenet.Serve(w.sim.Handler())
		log := zerolog.New(w.log).Level(zerolog.TraceLevel)
		w.tokens = NewTokenSource(TokenConfig{
			ClientID: "the-client", ClientSecret: "the-secret", URL: "http://zoom/oauth/token", HTTP: w.server.Client(), Log: log,
		})
		w.dialer = NewDialer(Config{
			Endpoint: "ws://zoom/ws?subscriptionId=" + subscription, Tokens: w.tokens, HTTP: w.server.Client(),
			Heartbeat: 25 * time.Second, ReadLimit: 1 << 20, Log: log,
		})
		defer w.server.Close()
		defer w.sim.Close()
		f(t, w)
		if log := w.log.String(); strings.Contains(log, "the-secret") || strings.Contains(log, "eyJ") || strings.Contains(log, "must-not-leak") {
			t.Errorf("a secret is in the log:\n%s", log)
		}
	})
}

// dial opens a session, and waits until events reach it.
func (w *world) dial(t *testing.T, ctx context.Context) *Session {
	t.Helper()
	s, err := w.dialer.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sim.WaitReady(ctx, subscription); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a session until it ends, and returns its events and its error.
func (w *world) run(t *testing.T, ctx context.Context) (frames []Frame, err error) {
	t.Helper()
	s, err := w.dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Run(ctx, func(f *Frame) error {
		kept := *f
		kept.Raw = bytes.Clone(f.Raw)
		frames = append(frames, kept)
		return nil
	})
	if err != nil && strings.Contains(err.Error(), "eyJ") {
		t.Errorf("a token is in an error: %v", err)
	}
	return frames, err
}

func wantCause(t *testing.T, err error, cause Cause) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Cause != cause {
		t.Fatalf("ended by %v, want %s", err, cause)
	}
	return e
}

// during runs a session, and f once the session is ready.
func (w *world) during(t *testing.T, f func()) (frames []Frame, err error) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.sim.WaitReady(t.Context(), subscription); err != nil {
			t.Error(err)
		}
		f()
	})
	frames, err = w.run(t, t.Context())
	wg.Wait()
	return frames, err
}

func TestAnHourOfHeartbeats(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second)
		defer cancel()
		_, err := w.run(t, ctx)
		wantCause(t, err, CauseStopped)
		sum := w.sim.Summary(subscription)
		if sum.Heartbeats != 3600/25+1 || sum.Sockets != 1 {
			t.Errorf("%d heartbeats on %d sockets, want one at once and one each 25 s: 145 on 1", sum.Heartbeats, sum.Sockets)
		}
		if sum.Retired[zoomsim.CauseClient] != 1 {
			t.Errorf("not closed in an orderly way: %v", sum.Retired)
		}
	})
}

func TestFrozenSocketIsSilent(t *testing.T) {
	bubble(t, zoomsim.Options{IdleTimeout: -1}, func(t *testing.T, w *world) {
		var frozen time.Time
		_, err := w.during(t, func() {
			time.Sleep(100 * time.Second)
			frozen = time.Now()
			w.sim.Freeze(subscription, 0, false)
		})
		wantCause(t, err, CauseSilent)
		if took := time.Since(frozen); took > 50*time.Second {
			t.Errorf("noticed after %s, want two heartbeat periods at most", took)
		}
		w.sim.Reset()
	})
}

func TestEndings(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*zoomsim.Sim)
		cause Cause
		code  int
	}{
		"cut":             {func(s *zoomsim.Sim) { s.Cut(subscription) }, CauseReset, 0},
		"closed 1001":     {func(s *zoomsim.Sim) { s.CloseSockets(subscription, 1001, "going away") }, CauseClosed, 1001}, //nolint:errcheck
		"displaced":       {displace(false), CauseDisplaced, 0},
		"displaced frame": {displace(true), CauseDisplaced, 0},
		"refused heartbeat": {func(s *zoomsim.Sim) {
			s.SendRaw(subscription, []byte(`{"module":"heartbeat","success":false,"content":"Token is invalid","header":{}}`), false)
		}, CauseRefused, 0},
		"refused unknown module": {func(s *zoomsim.Sim) {
			s.SendRaw(subscription, []byte(`{"module":"new","success":false,"content":"?"}`), false)
		}, CauseRefused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
				_, err := w.during(t, func() { time.Sleep(time.Minute); c.do(w.sim) })
				e := wantCause(t, err, c.cause)
				if c.code != 0 && int(e.Code) != c.code {
					t.Errorf("code %d, want %d", e.Code, c.code)
				}
			})
		})
	}
}

func displace(frame bool) func(*zoomsim.Sim) {
	return func(s *zoomsim.Sim) {
		s.Displace(subscription, zoomsim.Displacement{Frame: frame}, zoomsim.Span{})
		s.CloseSockets(subscription, 1000, "Connected in another place") //nolint:errcheck
		if frame {
			s.SendRaw(subscription, []byte(`{"module":"build_connection","success":false,"content":"Connected in another place"}`), false)
		}
	}
}

func TestRealDisplacement(t *testing.T) {
	for _, frame := range []bool{false, true} {
		bubble(t, zoomsim.Options{DisplaceFrame: frame, Linger: time.Second}, func(t *testing.T, w *world) {
			var other *Session
			_, err := w.during(t, func() {
				time.Sleep(time.Minute)
				var err error
				if other, err = w.dialer.Dial(t.Context()); err != nil {
					t.Error(err)
				}
			})
			wantCause(t, err, CauseDisplaced)
			other.conn.CloseNow() //nolint:errcheck
		})
	}
}

func TestUpgradeRefused(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		err := w.sim.Refuse(subscription, zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503, RetryAfter: 7 * time.Second}, zoomsim.Span{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.dialer.Dial(t.Context())
		if e := wantCause(t, err, CauseDial); e.RetryAfter != 7*time.Second || !strings.Contains(e.Detail, "503") {
			t.Errorf("%+v", e)
		}
	})
}

// unanswered runs f on fake time with a Zoom that never answers a dial.
func unanswered(t *testing.T, f func(t *testing.T, d *Dialer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth/token" {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token":"eyJtoken","token_type":"bearer","expires_in":3600}`)
				return
			}
			<-release
		}))
		tokens := NewTokenSource(TokenConfig{URL: "http://zoom/oauth/token", HTTP: server.Client()})
		f(t, NewDialer(Config{Endpoint: "ws://zoom/ws?subscriptionId=s", Tokens: tokens, HTTP: server.Client(), Heartbeat: time.Second}))
		close(release)
		server.Close()
	})
}

func TestNoBuildConnection(t *testing.T) {
	unanswered(t, func(t *testing.T, d *Dialer) {
		_, err := d.Dial(t.Context())
		if e := wantCause(t, err, CauseDial); strings.Contains(e.Error(), "eyJ") {
			t.Errorf("the token is in %v", e)
		}
	})
}

// TestDialIsGivenUp: a dial may go on for a moment after its context has ended, but not once it is
// no longer permitted.
func TestDialIsGivenUp(t *testing.T) {
	unanswered(t, func(t *testing.T, d *Dialer) {
		ended, taken := errors.New("it ended"), errors.New("another one may dial")
		open := 0
		dial := func(after, permittedFor time.Duration) (took time.Duration, err error) {
			ctx, end := context.WithTimeoutCause(t.Context(), after, ended)
			defer end()
			d.cfg.Permit = func(context.Context) (context.Context, func(), error) {
				open++
				permitted, cancel := context.WithTimeoutCause(t.Context(), permittedFor, taken)
				return permitted, func() { open--; cancel() }, nil
			}
			began := time.Now()
			_, err = d.Dial(ctx)
			return time.Since(began), err
		}
		if took, err := dial(time.Second, time.Minute); err != ended || took != time.Second+closeTimeout {
			t.Errorf("ended: %v after %v", err, took)
		}
		for range 3 { // and the token is not blamed for it
			took, err := dial(time.Minute, time.Second)
			if e := wantCause(t, err, CauseStopped); took != time.Second || !strings.Contains(e.Detail, taken.Error()) {
				t.Errorf("no longer permitted: %v after %v", err, took)
			}
		}
		if open != 0 {
			t.Errorf("%d permits are not given back", open)
		}
	})
}

// TestBackPressure: a handler may wait for an hour. Heartbeats go on, and the silence does not
// count as Zoom's.
func TestBackPressure(t *testing.T) {
	bubble(t, zoomsim.Options{WriteTimeout: 2 * time.Hour}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		s := w.dial(t, ctx)
		for range 3 {
			w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"})
		}
		handled := 0
		err := s.Run(ctx, func(f *Frame) error {
			if handled++; handled == 1 {
				time.Sleep(time.Hour)
			}
			if handled == 3 {
				cancel()
			}
			return nil
		})
		wantCause(t, err, CauseStopped)
		if sum := w.sim.Summary(subscription); handled != 3 || sum.Heartbeats < 144 || sum.Sockets != 1 {
			t.Errorf("%d events handled, %d heartbeats on %d sockets", handled, sum.Heartbeats, sum.Sockets)
		}
	})
}

func TestHandlerErrorEndsTheSession(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		s := w.dial(t, t.Context())
		w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"})
		wanted := errors.New("no room")
		if err := s.Run(t.Context(), func(*Frame) error { return wanted }); !errors.Is(err, wanted) {
			t.Errorf("ended by %v", err)
		}
	})
}

// TestBrokenFramesNeverEndTheConnection sends every kind of garbage, a frame over the read limit
// and binary frames. The good events after them arrive.
func TestBrokenFramesNeverEndTheConnection(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		kinds := 0
		frames, err := w.during(t, func() {
			for kind, frame := range zoomsim.GarbageFrames() {
				if strings.HasPrefix(kind, "odd-") {
					continue
				}
				kinds++
				w.sim.SendRaw(subscription, frame, kinds%2 == 0)
			}
			w.sim.SendRaw(subscription, w.sim.Frame(zoomsim.Event{Body: zoomsim.SizedBody("meeting.started", 3<<20)}), false)
			kinds++
			for range 50 {
				w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.ended"})
			}
			if err := w.sim.Drain(t.Context(), subscription); err != nil {
				t.Error(err)
			}
			w.sim.CloseSockets(subscription, 1000, "") //nolint:errcheck
		})
		wantCause(t, err, CauseClosed)
		malformed, events := 0, 0
		for _, f := range frames {
			if f.Err == nil {
				events++
				continue
			}
			malformed++
			if _, ok := errors.AsType[*Malformed](f.Err); !ok || len(f.Raw) == 0 && f.Size != 0 {
				t.Errorf("%v (%T), %d of %d bytes", f.Err, f.Err, len(f.Raw), f.Size)
			}
		}
		if malformed != kinds || events != 50 || kinds < 24 {
			t.Errorf("%d of %d broken frames and %d of 50 events", malformed, kinds, events)
		}
	})
}

// TestEventWithSuccessFalse: a frame that is both an event and a refusal hands over the event and
// ends the session, without the body in the error.
func TestEventWithSuccessFalse(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		frames, err := w.during(t, func() {
			w.sim.SendRaw(subscription, []byte(`{"module":"message","success":false,"content":"{\"event\":\"a.b\",\"name\":\"Jane\"}"}`), false)
		})
		if e := wantCause(t, err, CauseRefused); strings.Contains(e.Error(), "Jane") {
			t.Errorf("a body is in the error: %v", e)
		}
		if len(frames) != 1 || frames[0].Event != "a.b" {
			t.Errorf("%+v", frames)
		}
	})
}

// TestNoticesOfDisplacement sends the notice in every form that a frame may have.
func TestNoticesOfDisplacement(t *testing.T) {
	for _, frame := range []string{
		`Connected in another place`, `"Connected in another place"`, `{"content":"Connected in another place"}`,
		`{"module":"build_connection","success":false,"content":"Connected in another place"}`,
		`{"module":"close","success":true,"content":"connected in Another Place"}`,
		`{"module":"message","content":"Connected in another place"}`,
		`{"module":"message","success":false,"content":"Connected in another place"}`,
	} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			_, err := w.during(t, func() { w.sim.SendRaw(subscription, []byte(frame), false) })
			wantCause(t, err, CauseDisplaced)
		})
	}
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		frames, err := w.during(t, func() {
			w.sim.Emit(subscription, zoomsim.Event{Body: []byte(`{"event":"chat.sent","text":"I am connected in another place"}`)})
			w.sim.SendRaw(subscription, []byte(`{"x":"`+strings.Repeat("long ", 200)+`another place`), false)
			w.sim.SendRaw(subscription, []byte(`{"module":"heartbeat","success":false,"content":"Token is invalid"}`), false)
		})
		wantCause(t, err, CauseRefused)
		if len(frames) != 2 {
			t.Error("an event or a long frame that holds the text counts as a notice")
		}
		before := w.tokens.Cached()
		w.dial(t, t.Context()).conn.CloseNow() //nolint:errcheck
		if w.tokens.Cached() == before {
			t.Error("a token that is refused within a session is used again")
		}
	})
}

// greeted runs f with a dialer to a Zoom that sends the given frames first.
func greeted(t *testing.T, frames [][]byte, f func(t *testing.T, d *Dialer)) {
	t.Helper()
	greetedBy(t, func() [][]byte { return frames }, f)
}

// greetedBy is greeted with different frames for each connection.
func greetedBy(t *testing.T, greeting func() [][]byte, f func(t *testing.T, d *Dialer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth/token" {
				fmt.Fprint(w, `{"access_token":"eyJtoken","token_type":"bearer","expires_in":3600}`)
				return
			}
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow() //nolint:errcheck
			for _, frame := range greeting() {
				if conn.Write(r.Context(), websocket.MessageText, frame) != nil {
					return
				}
			}
			conn.Read(context.Background()) //nolint:errcheck
		}))
		defer server.Close()
		tokens := NewTokenSource(TokenConfig{URL: "http://zoom/oauth/token", HTTP: server.Client()})
		f(t, NewDialer(Config{Endpoint: "ws://zoom/ws?subscriptionId=s", Tokens: tokens, HTTP: server.Client(), Heartbeat: time.Second}))
	})
}

// TestReadyOnlyBySuccess: the connection is ready only after a build_connection with success:true.
func TestReadyOnlyBySuccess(t *testing.T) {
	for _, success := range []string{``, `"success":"false",`, `"success":0,`, `"success":null,`, `"success":{},`} {
		frame := []byte(`{"module":"build_connection",` + success + `"content":"ok","header":{}}`)
		greeted(t, [][]byte{frame}, func(t *testing.T, d *Dialer) {
			_, err := d.Dial(t.Context())
			wantCause(t, err, CauseRefused)
		})
	}
}

// TestFramesBeforeReady: frames that come before the connection is ready are kept in order, up to a
// bound.
func TestFramesBeforeReady(t *testing.T) {
	event := message(`{"event":"early.bird"}`)
	ready := []byte(`{"module":"build_connection","success":true,"content":"ok"}`)
	refusal := []byte(`{"module":"heartbeat","success":false}`)
	greeted(t, [][]byte{event, ready, refusal}, func(t *testing.T, d *Dialer) {
		s, err := d.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		err = s.Run(t.Context(), func(f *Frame) error { names = append(names, f.Event); return nil })
		wantCause(t, err, CauseRefused)
		if len(names) != 1 || names[0] != "early.bird" {
			t.Errorf("%q", names)
		}
	})
	var flood [][]byte
	for range 40 {
		flood = append(flood, make([]byte, 1<<20))
	}
	greeted(t, append(flood, ready), func(t *testing.T, d *Dialer) {
		_, err := d.Dial(t.Context())
		wantCause(t, err, CauseDial)
	})
}

// TestStrayFramesLeaveATrace sends frames that are neither a message nor one of Zoom's own answers,
// before and after the connection is ready. Each is handed over as malformed. An event's text in
// them is not taken for a notice, and is not logged.
func TestStrayFramesLeaveATrace(t *testing.T) {
	event := `"{\"event\":\"chat.sent\",\"text\":\"Jane is connected in another place\"}"`
	var frames [][]byte
	for _, module := range []string{`"Message"`, `"MESSAGE"`, `"message "`, `"event"`, `"\u0000"`, `"heartbeat"`, `"build_connection"`} {
		frames = append(frames, fmt.Appendf(nil, `{"module":%s,"success":true,"content":%s,"header":{"x-zm-trackingid":"t"}}`, module, event))
		frames = append(frames, fmt.Appendf(nil, `{"module":%s,"success":true,"event":{"odd":1}}`, module))
		frames = append(frames, fmt.Appendf(nil, `{"module":%s,"success":true,"content":{"payload":{},"event":"chat.sent"}}`, module))
	}
	frames = append(frames, []byte(`{"event":"bot_notification","payload":{"text":"in another place"}}`), []byte(`{"module":"weather"}`),
		[]byte(`{"module":"weather","content":null,"success":null}`))
	check := func(t *testing.T, got []Frame) {
		t.Helper()
		if len(got) != len(frames) {
			t.Errorf("%d of %d frames leave a trace", len(got), len(frames))
		}
		for i, f := range got {
			if m, ok := errors.AsType[*Malformed](f.Err); !ok || m.Reason != "module" || i < len(frames) && !bytes.Equal(f.Raw, frames[i]) {
				t.Errorf("%s arrives with %v", f.Raw, f.Err)
			}
		}
	}
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		got, err := w.during(t, func() {
			for _, frame := range frames {
				w.sim.SendRaw(subscription, frame, false)
			}
			w.sim.SendRaw(subscription, []byte(`{"module":"heartbeat","success":true,"content":"live","header":{}}`), false)
			w.sim.SendRaw(subscription, []byte(`{"module":"x","success":false,"content":`+event+`}`), false)
		})
		if e := wantCause(t, err, CauseDisplaced); strings.Contains(e.Error(), "Jane") {
			t.Errorf("a body is in the error: %v", e)
		}
		check(t, got[:max(0, len(got)-1)])
		if !strings.Contains(w.log.String(), "zoom.unknown_module") || strings.Contains(w.log.String(), "Jane") {
			t.Errorf("log:\n%s", w.log)
		}
	})
	var early [][]byte
	for _, frame := range frames {
		if !bytes.Contains(frame, []byte("build_connection")) {
			early = append(early, frame)
		}
	}
	frames = append(early, []byte(`{"module":"build_connection","success":true,"content":{"event":"a.b"}}`))
	greeted(t, append(frames, []byte(`{"module":"heartbeat","success":false,"content":"?"}`)), func(t *testing.T, d *Dialer) {
		check(t, replay(t, d))
	})
	// The next session hands over frames of a connection that never became ready.
	dials := 0
	all := frames
	greetedBy(t, func() [][]byte {
		dials++
		if dials == 1 {
			return append(slices.Clone(all[:3]), []byte(`{"module":"build_connection","success":false,"content":"?"}`))
		}
		return append(slices.Clone(all[3:]), []byte(`{"module":"heartbeat","success":false,"content":"?"}`))
	}, func(t *testing.T, d *Dialer) { check(t, replay(t, d)) })
}

// replay dials, and returns what the session hands over until Zoom refuses it.
func replay(t *testing.T, d *Dialer) (frames []Frame) {
	t.Helper()
	s, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), func(f *Frame) error {
		kept := *f
		kept.Raw = bytes.Clone(f.Raw)
		frames = append(frames, kept)
		return nil
	})
	wantCause(t, err, CauseRefused)
	return frames
}

// TestAllBodies sends every sample and a body for every known name, as a string and as an object.
// Each arrives unchanged under its name.
func TestAllBodies(t *testing.T) {
	for _, object := range []bool{false, true} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			bodies := zoomsim.Samples()
			for _, name := range eventnames.All() {
				bodies = append(bodies, zoomsim.Body(name))
			}
			frames, _ := w.during(t, func() {
				for _, body := range bodies {
					w.sim.Emit(subscription, zoomsim.Event{Body: body, AsObject: object})
				}
				if err := w.sim.Drain(t.Context(), subscription); err != nil {
					t.Error(err)
				}
				w.sim.CloseSockets(subscription, 1000, "") //nolint:errcheck
			})
			if len(frames) != len(bodies) {
				t.Fatalf("%d of %d events", len(frames), len(bodies))
			}
			for i, entry := range w.sim.Ledger().Entries {
				f := frames[i]
				if f.Err != nil || f.Event != entry.Event || !bytes.Equal(f.Body, bodies[i]) || f.Header.TrackingID != entry.TrackingID || f.Header.Timestamp == "" {
					t.Errorf("event %d (%s) arrived as %s: %v", i, entry.Event, f.Event, f.Err)
				}
			}
		})
	}
}
