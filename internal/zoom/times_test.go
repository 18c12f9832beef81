package zoom

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestTimesOfEvents: Zoom gives times in several forms. A value that cannot be this event's time is
// ignored, and never a reason to refuse the event.
func TestTimesOfEvents(t *testing.T) {
	now := time.Now()
	ms := now.Add(-time.Minute).UnixMilli()
	for value, want := range map[string]time.Time{
		fmt.Sprint(ms):                           time.UnixMilli(ms),
		fmt.Sprintf("%q", fmt.Sprint(ms)):        time.UnixMilli(ms),
		fmt.Sprint(now.Add(-time.Minute).Unix()): {}, // in seconds
		`"290112312321"`:                         {}, // as documented for some events
		`"2024-09-08 15:58:40"`:                  {},
		"null":                                   {},
		"1e400":                                  {},
		"-1":                                     {},
		"true":                                   {},
		`{"a":1}`:                                {},
		`[1]`:                                    {},
		fmt.Sprint(now.Add(2 * time.Hour).UnixMilli()): {},
	} {
		var d decoder
		env, err := d.envelope(message(`{"event_ts":` + value + `,"event":"a.b"}`))
		if err != nil {
			t.Fatal(err)
		}
		e, err := d.event(env)
		if err != nil || e.name != "a.b" {
			t.Errorf("event_ts %s: event %q, %v", value, e.name, err)
		}
		if got := plausible(time.UnixMilli(e.happened), now); !got.Equal(want) {
			t.Errorf("event_ts %s is %v, want %v", value, got, want)
		}
	}
	if at := (Header{Timestamp: fmt.Sprint(now.Unix())}).sent(now); at.Unix() != now.Unix() {
		t.Errorf("sent at %v", at)
	}
	if at := (Header{Timestamp: "soon"}).sent(now); !at.IsZero() {
		t.Errorf("sent at %v", at)
	}
}

// TestRoundTripAndHops: a session measures its heartbeats, and a frame has the times when its event
// happened and when it was sent.
func TestRoundTripAndHops(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		var told []time.Duration
		w.dialer.cfg.Answered = func(d time.Duration) { told = append(told, d) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := w.dial(t, ctx)
		if s.RoundTrip() != 0 {
			t.Error("a round trip before the first heartbeat")
		}
		begun := time.Now()
		w.sim.Emit(subscription, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":"a.b","event_ts":%d}`, begun.Add(-time.Hour).UnixMilli())})
		var frames []Frame
		s.Run(ctx, func(f *Frame) error { frames = append(frames, *f); return nil }) //nolint:errcheck // stopped
		if len(told) != 3 {                                                          // at 0, 25 and 50 s
			t.Errorf("%d round trips, want 3", len(told))
		}
		if len(frames) != 1 || !frames[0].Happened.Equal(begun.Add(-time.Hour).Truncate(time.Millisecond)) || frames[0].Sent.Unix() != begun.Unix() {
			t.Errorf("frames %+v", frames)
		}
	})
}

func TestTokenStats(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		if st := w.tokens.Stats(); st != (TokenStats{}) {
			t.Errorf("before the first token: %+v", st)
		}
		if err := w.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenHTTP500}, zoomsim.Span{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		w.tokens.token(ctx, "") //nolint:errcheck // it fails
		cancel()
		if st := w.tokens.Stats(); st.Failures < 2 || st.Since.IsZero() || st.Waiting || st.Err == nil || !st.Expires.IsZero() {
			t.Errorf("while the endpoint fails: %+v", st)
		}
		w.sim.Reset()
		w.dial(t, t.Context()).conn.CloseNow() //nolint:errcheck
		if st := w.tokens.Stats(); st.Refreshes != 1 || !st.Since.IsZero() || st.Err != nil || time.Until(st.Expires) < 50*time.Minute {
			t.Errorf("with a token: %+v", st)
		}
	})
}

// TestReadUntil: a session knows until when it has read everything that Zoom sent: not beyond the
// frame that is being handled, nor beyond the time when a late frame was sent (others wait behind
// it), nor while a heartbeat is unanswered.
func TestReadUntil(t *testing.T) {
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		link := pipenet.NewLink(func(ctx context.Context) (net.Conn, error) { return w.server.Dial(ctx, "late") })
		defer link.Close()
		w.dialer.cfg.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return link.Dial(ctx) }}}
		ctx, cancel := context.WithCancel(t.Context())
		s := w.dial(t, ctx)
		time.Sleep(3 * time.Second) // as a renewed connection waits for the end of the previous one
		if got := s.ReadUntil(); !got.Equal(s.start) {
			t.Errorf("nobody reads: read until %v after the start", got.Sub(s.start))
		}
		inHand := make(chan struct{})
		var handled int
		var running sync.WaitGroup
		running.Go(func() {
			s.Run(ctx, func(*Frame) error { //nolint:errcheck // stopped
				handled++
				<-inHand
				return nil
			})
		})
		check := func(what string, want time.Time) {
			t.Helper()
			synctest.Wait()
			if got := s.ReadUntil(); want.Sub(got) > time.Second || got.After(want) {
				t.Errorf("%s: read until %v, want %v", what, got.Sub(s.start), want.Sub(s.start))
			}
		}
		emit := func() { w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"}) }

		time.Sleep(3 * time.Second)
		check("nothing has come", time.Now())
		emit()
		synctest.Wait()
		received := time.Now()
		time.Sleep(3 * time.Second)
		check("a frame is handled", received)
		inHand <- struct{}{}
		time.Sleep(25 * time.Second) // a heartbeat is answered meanwhile
		check("all is read", time.Now())

		link.BlackHole()
		sent := time.Now()
		for range 3 {
			emit()
		}
		time.Sleep(12 * time.Second)
		link.Heal() // as if the process had stood still
		check("the first of three late ones is handled", sent)
		for n := range 3 {
			inHand <- struct{}{}
			synctest.Wait()
			check(fmt.Sprint(n+1, " of three late ones are handled"), sent)
		}
		time.Sleep(25 * time.Second)
		check("a heartbeat is answered behind them", time.Now())

		beaten := s.LastFrame()
		link.BlackHole()
		time.Sleep(35 * time.Second)
		check("a heartbeat is not answered", beaten)
		link.Heal()
		cancel()
		running.Wait()
		if handled != 4 {
			t.Errorf("%d events handled", handled)
		}
	})
}

// TestGoodbyeUnderLoad stops a session while frames come faster than they are handled, and Zoom
// reads the goodbye late: everything sent by then is still read. If Zoom never reads it, the
// session counts as live only until the first frame that was not read.
func TestGoodbyeUnderLoad(t *testing.T) {
	for name, c := range map[string]struct {
		rate      string // at which Zoom reads, in bytes per second
		heartbeat time.Duration
		read      bool // whether Zoom reads the goodbye in time
	}{
		"late":                         {"3", time.Hour, true},
		"never":                        {"1", time.Hour, false},
		"in the middle of a heartbeat": {"1", 25 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, zoomsim.Options{IdleTimeout: -1}, func(t *testing.T, w *world) {
				if _, err := w.sim.Do("slow-reader?rate=" + c.rate); err != nil {
					t.Fatal(err)
				}
				w.dialer.cfg.Heartbeat = c.heartbeat
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := w.dial(t, ctx)
				handled, stopped := 0, time.Time{}
				var running sync.WaitGroup
				running.Go(func() {
					err := s.Run(ctx, func(*Frame) error {
						handled++
						time.Sleep(22 * time.Millisecond)
						return nil
					})
					wantCause(t, err, CauseStopped)
					stopped = time.Now()
					sum := w.sim.Summary(subscription)
					entries := w.sim.Ledger().Entries
					switch live := s.LiveUntil(err); {
					case c.read && (int64(handled) != sum.Written || sum.Retired[zoomsim.CauseClient] == 0):
						t.Errorf("%d of %d events are read, ended by %v", handled, sum.Written, sum.Retired)
					case c.read && stopped.Sub(live) > 100*time.Millisecond: // since the last frame
						t.Errorf("it lived until %v before its end", stopped.Sub(live))
					case c.read:
					case handled >= len(entries):
						t.Errorf("all %d events are read", handled)
					default:
						if lost := entries[handled].At.Sub(live); lost < 0 || lost > 2*time.Second {
							t.Errorf("event %d is the first one lost, %v after the end of the session's life", handled+1, lost)
						}
					}
				})
				time.Sleep(30 * time.Second) // Zoom has read the first heartbeat by now
				for n := range 600 {
					if n == 250 {
						cancel()
					}
					w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"})
					time.Sleep(20 * time.Millisecond)
				}
				running.Wait()
				w.sim.Reset()
			})
		})
	}
}

// TestCloseReadLate: a process that stood still reads Zoom's close, and the last frame before it,
// late without noticing. So the session counts as live only until a second before the close was
// read, or until that frame was sent if that is later.
func TestCloseReadLate(t *testing.T) {
	for _, c := range []struct{ sent, quiet, want time.Duration }{ // sent is the time since the start; Zoom states whole seconds
		{3 * time.Second, 200 * time.Millisecond, 200 * time.Millisecond},
		{3500 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond},
		{3 * time.Second, 20 * time.Second, ReadDelay},
	} {
		bubble(t, zoomsim.Options{IdleTimeout: -1}, func(t *testing.T, w *world) {
			w.dialer.cfg.Heartbeat = time.Hour
			s := w.dial(t, t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				err := s.Run(t.Context(), func(*Frame) error { return nil })
				wantCause(t, err, CauseClosed)
				if got := time.Since(s.LiveUntil(err)); got < c.want || got > c.want+100*time.Millisecond {
					t.Errorf("%v after the last frame, it is known to have lived until %v before its end", c.quiet, got)
				}
			})
			time.Sleep(c.sent)
			w.sim.Emit(subscription, zoomsim.Event{Name: "meeting.started"})
			time.Sleep(c.quiet)
			w.sim.CloseSockets(subscription, 1001, "maintenance") //nolint:errcheck // there is one
			running.Wait()
		})
	}
}
