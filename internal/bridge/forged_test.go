package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// TestForgedState: of a state that somebody else has written, a bridge adopts only what a replica
// could have written, and a bounded amount of it.
func TestForgedState(t *testing.T) {
	nc, bucket := bucketOf(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	gap := func(n int, change func(*message.Gap)) message.Gap {
		g := message.Gap{
			Subscription: "sub", From: monday.Add(-time.Hour), To: monday.Add(-time.Minute), Cause: message.GapCrash,
			PreviousReplica: "a", Replica: "b", Epoch: 3, ID: fmt.Sprintf("gap:sub:n:2.1-3.%d", n),
		}
		if change != nil {
			change(&g)
		}
		return g
	}
	many := func(n int) (gaps []message.Gap) {
		for i := range n {
			gaps = append(gaps, gap(i, nil))
		}
		return gaps
	}
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		change func(*record.State)
		gaps   int // number of gaps reported, including the one before this connection
		raised int
	}{
		"an honest one":    {func(*record.State) {}, 1, 0},
		"of another epoch": {func(s *record.State) { s.Epoch = 1 << 40 }, 1, 0},
		"alarms": {func(s *record.State) {
			s.Raised = append(strings.Split(strings.Repeat("x,", 20_000), ","), message.AlarmLate, message.AlarmLate)
		}, 1, 1},
		"a replica's alarm": {func(s *record.State) { s.Raised = message.ReplicaAlarms() }, 1, 0},
		"gaps of its own":   {func(s *record.State) { s.Unstored = []message.Gap{gap(1, nil), gap(1, nil), gap(2, nil)} }, 3, 0},
		"too many gaps":     {func(s *record.State) { s.Unstored = many(300) }, record.MaxUnstored + 1, 0},
		"far too many":      {func(s *record.State) { s.Unstored = many(2000) }, 1, 0},
		"another's gaps": {func(s *record.State) {
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.Subscription = "other" })}
		}, 1, 0},
		"a stranger's id": {func(s *record.State) {
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.ID = "meeting.started" })}
		}, 1, 0},
		"an id of lines": {func(s *record.State) {
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.ID = "gap:sub:\r\nNats-Rollup: all" })}
		}, 1, 0},
		"a name of lines": {func(s *record.State) {
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.Replica = "a\x1b[2J" })}
		}, 1, 0},
		"absurd times": {func(s *record.State) {
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.From, g.To = time.Unix(0, 0), monday.AddDate(900, 0, 0) })}
		}, 2, 0},
		"long texts": {func(s *record.State) {
			s.End = long
			s.Unstored = []message.Gap{gap(1, func(g *message.Gap) { g.Detail = long })}
		}, 2, 0},
		"a long name":   {func(s *record.State) { s.Replica = long }, 1, 0},
		"a wild nonce":  {func(s *record.State) { s.Nonce = ">" }, 1, 0},
		"unheard-of":    {func(s *record.State) { s.State = "asleep" }, 1, 0},
		"a future word": {func(s *record.State) { s.Since, s.LastEvent = monday.AddDate(100, 0, 0), monday.AddDate(100, 0, 0) }, 1, 0},
	} {
		s := newSubject(t, nc, bucket, 0)
		s.cfg.Peers = testPeers{safeUntil: time.Now().Add(-time.Minute)}
		state := record.State{State: record.Disconnected, Replica: "a", Nonce: "n", Epoch: 2, Connection: 1, Since: monday.Add(-time.Minute), Cause: message.GapStart}
		c.change(&state)
		value, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "$KV.states."+record.StatePrefix+"sub", value); err != nil {
			t.Fatal(err)
		}
		s.journal.noteConnected(s.now)
		gaps, err := s.journal.adoptPreviousTerm(t.Context())
		if err != nil || len(gaps) != c.gaps {
			t.Errorf("%s: tells of %d gaps, %v; want %d", name, len(gaps), err, c.gaps)
		}
		for _, g := range gaps {
			if text, _ := json.Marshal(g); g.Subscription != "sub" || g.To.After(s.now.Add(time.Second)) || g.To.Sub(g.From) > 11*365*24*time.Hour || len(text) > 4096 {
				t.Errorf("%s: would publish %.300s", name, text)
			}
		}
		if raised := s.cfg.Alarms.Board.Raised(); len(raised) != c.raised {
			t.Errorf("%s: %d alarms are raised, want %d", name, len(raised), c.raised)
		}
		if lines := strings.Count(s.log.String(), "\n"); lines > 5 || s.log.Len() > 4096 {
			t.Errorf("%s: %d lines are logged: %.300s", name, lines, s.log)
		}
		if kept := s.journal.current(); kept.LastEvent.After(s.now.Add(time.Second)) {
			t.Errorf("%s: the last event is of %s", name, kept.LastEvent)
		}
		entry, err := bucket.Get(t.Context(), record.StatePrefix+"sub")
		if err != nil {
			t.Fatal(err)
		}
		if _, complete, err := record.ReadState(entry.Value, "sub", s.now.Add(time.Second)); err != nil || !complete {
			t.Errorf("%s: stays in the bucket (%v)", name, err)
		}
	}
}

// TestMarkersAfterTheEnd: a bridge that waits for room to report two gaps must survive the end of
// its term, when everything is released: the second gap must not find nil.
func TestMarkersAfterTheEnd(t *testing.T) {
	nc, bucket := bucketOf(t)
	s := newSubject(t, nc, bucket, 0)
	full := false
	for n := 0; !full; n++ { // nobody reads from the outbox
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		full = s.publish(ctx, message.Gap{ID: fmt.Sprint(n)}.Msg("zoom"), outbox.Times{}) != nil
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() {
		now := time.Now()
		s.publishGaps(ctx, []message.Gap{s.newGap(record.State{Nonce: "a"}, now, now, 1, message.GapCrash, true), s.newGap(record.State{Nonce: "b"}, now, now, 1, message.GapCrash, true)})
	})
	time.Sleep(20 * time.Millisecond)
	both.Go(s.freeWindow)
	time.Sleep(20 * time.Millisecond)
	cancel()
	both.Wait()
}
