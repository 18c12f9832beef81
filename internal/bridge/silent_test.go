package bridge

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// subject is a Bridge whose connection and clock are controlled by the test. NATS is real.
type subject struct {
	*Bridge
	t       *testing.T
	silence *silence
	now     time.Time
	log     *strings.Builder
}

// bucketOf returns a new bucket of states and a connection to its server.
func bucketOf(t *testing.T) (*nats.Conn, *kv.Bucket) {
	t.Helper()
	s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, openBucket(t, nc)
}

func openBucket(t *testing.T, nc *nats.Conn) *kv.Bucket {
	t.Helper()
	bucket, err := kv.Open(t.Context(), newJetStream(t, nc), kv.Options{Name: "states"})
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func newSubject(t *testing.T, nc *nats.Conn, bucket *kv.Bucket, silent time.Duration) *subject {
	t.Helper()
	s := &subject{t: t, now: monday, log: &strings.Builder{}}
	cfg := testConfig(t, nc, zerolog.New(s.log))
	cfg.States, cfg.Alarms.Silent = bucket, silent
	cfg.Clock = func(t time.Time) time.Time { return s.now.Add(time.Until(t)) }
	s.Bridge = New(newJetStream(t, nc), zoom.NewDialer(zoom.Config{Tokens: zoom.NewTokenSource(zoom.TokenConfig{})}), cfg)
	s.silence = newSilence(s.Bridge)
	return s
}

// event has an event be received now.
func (s *subject) event() { s.at(s.now) }

// at has the last event be received at the given time.
func (s *subject) at(when time.Time) {
	s.events.Add(1)
	s.previousLastEvent.Store(&when)
}

func (s *subject) is(state record.ConnState) {
	s.journal.change(func(j *record.State) { j.State = state })
}

// passes lets time pass, with a check at least every minute.
func (s *subject) passes(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(min(time.Minute, end.Sub(s.now)))
		s.silence.check(s.t.Context())
	}
}

func (s *subject) raisedNow() bool {
	all := s.cfg.Alarms.Board.Raised()
	return len(all) == 1 && all[0].Alarm == message.AlarmSilent
}

func TestQuietSince(t *testing.T) {
	first, event, gap := noon, noon.Add(time.Hour), noon.Add(2*time.Hour)
	for name, c := range map[string]struct {
		s    record.State
		want time.Time
	}{
		"nothing yet":           {record.State{}, time.Time{}},
		"no event yet":          {record.State{First: first}, first},
		"an event":              {record.State{First: first, LastEvent: event}, event},
		"a gap after it":        {record.State{First: first, LastEvent: event, LastGap: &message.Gap{To: gap}}, gap},
		"a gap before it":       {record.State{First: first, LastEvent: gap, LastGap: &message.Gap{To: event}}, gap},
		"a gap and no event":    {record.State{First: first, LastGap: &message.Gap{To: gap}}, gap},
		"an event of long ago":  {record.State{First: gap, LastEvent: event}, event}, // handed over: the previous connection was as good
		"gap and event at once": {record.State{First: first, LastEvent: gap, LastGap: &message.Gap{To: gap}}, gap},
	} {
		if got := quietSince(c.s); !got.Equal(c.want) {
			t.Errorf("%s: since %s, want %s", name, got, c.want)
		}
	}
}

func TestSilentWithAThreshold(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 10*time.Minute)
	s.passes(time.Hour) // not connected yet
	if s.raisedNow() {
		t.Fatal("raised without a connection")
	}
	s.journal.noteConnected(s.now)
	s.passes(9 * time.Minute)
	if s.raisedNow() {
		t.Fatal("raised too early")
	}
	s.passes(2 * time.Minute)
	if !s.raisedNow() {
		t.Fatal("not raised")
	}
	detail := s.cfg.Alarms.Board.Raised()[0].Detail
	if !strings.Contains(detail, "over 10m0s is silent") || !strings.Contains(detail, "subscribed") {
		t.Errorf("%q", detail)
	}
	s.passes(time.Hour)
	s.is(record.Disconnected)
	s.passes(time.Minute)
	if !s.raisedNow() {
		t.Error("the end of the connection is no end of the silence")
	}
	s.is(record.Connected)
	s.event()
	s.passes(time.Minute)
	if s.raisedNow() {
		t.Error("not cleared by an event")
	}
	s.is(record.Disconnected)
	s.passes(time.Hour)
	if s.raisedNow() {
		t.Error("raised while disconnected")
	}
	s.journal.noteConnected(s.now) // after a gap
	s.passes(9 * time.Minute)
	if s.raisedNow() {
		t.Error("raised right after a gap")
	}
	s.passes(2 * time.Minute)
	if !s.raisedNow() {
		t.Error("not raised after the gap")
	}
	if n := strings.Count(s.log.String(), "alarm.raised"); n != 2 {
		t.Errorf("raised %d times:\n%s", n, s.log)
	}
}

// TestAnotherGapClears: a new connection after a gap clears the alarm, since the old connection may
// have been what was silent.
func TestAnotherGapClears(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 10*time.Minute)
	s.journal.noteConnected(s.now)
	s.event()
	s.passes(time.Hour)
	s.journal.noteEnded(record.Disconnected, s.now, s.now, s.now, message.GapDisconnected, "")
	s.passes(time.Minute)
	s.journal.noteConnected(s.now)
	s.passes(time.Minute)
	if s.raisedNow() || !strings.Contains(s.log.String(), "the connection is new") {
		t.Errorf("%s", s.log)
	}
}

// TestSilentByRhythm: an account with office hours falls silent one morning, under the second of
// two leaders.
func TestSilentByRhythm(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, -1)
	s.journal.noteConnected(s.now)
	work := func(s *subject, until time.Time) {
		for ; s.now.Before(until); s.now = s.now.Add(5 * time.Minute) {
			if office(s.now) {
				s.at(s.now)
			}
			s.silence.check(s.t.Context())
			if s.raisedNow() {
				t.Fatalf("raised on %s: %s", s.now, s.cfg.Alarms.Board.Raised()[0].Detail)
			}
		}
	}
	work(s, monday.Add(16*24*time.Hour))
	next := newSubject(t, nc, bucket, -1)
	next.now = s.now
	next.journal.noteConnected(next.now)
	work(next, monday.Add(28*24*time.Hour)) // until the fifth Monday
	next.passes(11 * time.Hour)
	if next.raisedNow() {
		t.Fatal("raised before three hours of work are over")
	}
	next.passes(90 * time.Minute)
	if !next.raisedNow() {
		t.Fatal("not raised by noon")
	}
	if !strings.Contains(next.cfg.Alarms.Board.Raised()[0].Detail, "each of the two weeks before") {
		t.Errorf("%+v", next.cfg.Alarms.Board.Raised())
	}
	next.event()
	next.passes(time.Minute)
	if next.raisedNow() {
		t.Error("not cleared")
	}
}

// TestStoredRhythmThatIsNone: an invalid stored rhythm is learned anew and replaced.
func TestStoredRhythmThatIsNone(t *testing.T) {
	nc, bucket := bucketOf(t)
	for _, value := range []string{"no json", `[]`, `{"hours":"x"}`, `null`, ``} {
		entry, err := bucket.Get(t.Context(), record.RhythmPrefix+"sub")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.Put(t.Context(), record.RhythmPrefix+"sub", []byte(value), entry.Revision, 0); err != nil {
			t.Fatal(err)
		}
		s := newSubject(t, nc, bucket, -1)
		s.journal.noteConnected(s.now)
		s.event()
		s.passes(time.Minute)
		entry, err = bucket.Get(t.Context(), record.RhythmPrefix+"sub")
		if err != nil || !strings.HasPrefix(string(entry.Value), `{"hours":{`) {
			t.Errorf("%q becomes %q, %v", value, entry.Value, err)
		}
	}
}

// TestInheritedSilence: the alarm stays raised when the leader changes without a gap, even while
// the rhythm cannot be read.
func TestInheritedSilence(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, -1)
	s.journal.noteConnected(s.now)
	s.at(s.now.Add(-24 * time.Hour))
	s.adoptAlarms([]string{message.AlarmSilent})
	nc.Close()
	s.passes(time.Minute)
	if !s.raisedNow() {
		t.Errorf("cleared, and no event has come:\n%s", s.log)
	}
}

// TestNothingIsInheritedByATermThatIsOver: a term that has settled its alarms must not adopt those
// of the previous term, which it may learn of only when it records its end. Nobody here would clear
// them.
func TestNothingIsInheritedByATermThatIsOver(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 0)
	value := `{"state":"handed_over","replica":"replica-0","nonce":"nonce-0","epoch":3,"connection":1,"since":"2026-03-01T00:00:00Z","raised":["late","silent"]}`
	if _, err := bucket.Put(t.Context(), record.StatePrefix+"sub", []byte(value), 0, 0); err != nil {
		t.Fatal(err)
	}
	s.journal.noteConnected(s.now) // the term ends as soon as it is connected, as in Run
	if err := s.journal.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.cfg.Alarms.Board.Leave(s.cfg.Subscription, s.cfg.Term.Epoch)
	if all := s.cfg.Alarms.Board.Raised(); len(all) != 0 {
		t.Errorf("%+v stay raised in this process for ever", all)
	}
}

// TestSafeUntilTheConnectionEnded: what Zoom sends after the end of a connection is lost. Until the
// end is recorded nobody can learn of it from the state, so nothing after it is safe.
func TestSafeUntilTheConnectionEnded(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 0)
	ended := time.Now().Add(-10 * time.Second)
	lose := func() { s.journal.noteEnded(record.Disconnected, ended, ended, ended, message.GapDisconnected, "") }
	is := func(what string, want time.Time) {
		t.Helper()
		if got := s.SafeUntil(); got.Sub(want).Abs() > time.Second {
			t.Errorf("%s: safe until %v ago, want %v", what, time.Since(got), time.Since(want))
		}
	}
	s.journal.noteConnected(s.now)
	is("connected", time.Now())
	lose()
	is("disconnected", ended)
	if err := s.journal.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("recorded", time.Now())
	lose()
	s.journal.answer()
	is("asked", time.Now())
	s.journal.noteEnded(record.HandedOver, ended, ended, ended, "", "")
	is("handed over, and not recorded", ended)
	s.journal.markSuperseded()
	is("a later term has written", time.Now())
	lose()
	is("ended after that", time.Now())
}

// TestEndIsRecordedOnceNATSIsBack: how a term ended is recorded as soon as NATS is back. The
// attempt is given up when the process ends.
func TestEndIsRecordedOnceNATSIsBack(t *testing.T) {
	dir := t.TempDir()
	first := natstest.Run(t, dir, -1)
	port := first.Addr().(*net.TCPAddr).Port
	nc, err := nats.Connect(first.ClientURL(), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	bucket := openBucket(t, nc)
	s := newSubject(t, nc, bucket, 0)
	s.journal.noteConnected(s.now)
	if err := s.journal.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.journal.noteEnded(record.HandedOver, time.Now(), time.Now(), time.Now(), "", "")
	natstest.Stop(first)

	process, end := context.WithCancel(t.Context())
	end()
	s.journal.recordEnd(process, t.Context()) // returns although NATS is away
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		s.journal.recordEnd(t.Context(), t.Context())
	}()
	select {
	case <-recorded:
		t.Error("NATS is away, and it counts as recorded")
	case <-time.After(300 * time.Millisecond):
	}
	natstest.Run(t, dir, port)
	<-recorded
	if last, _, err := s.journal.read(t.Context()); err != nil || last.State != record.HandedOver {
		t.Errorf("%+v, %v", last, err)
	}
}
