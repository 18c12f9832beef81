package forward

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestLossWatch(t *testing.T) {
	for _, c := range []struct {
		name   string
		handed []uint64
		first  uint64
		want   []span
		then   uint64 // position after that
	}{
		{"all is there", []uint64{11, 12}, 1, nil, 12},
		{"others are passed over", []uint64{14, 20}, 11, nil, 20},
		{"removed before it was handed out", []uint64{11, 15}, 15, []span{{12, 14}}, 15},
		{"others were passed over, some are removed since", []uint64{15, 30}, 13, []span{{11, 12}}, 30},
		{"nothing is left to hand out", []uint64{11}, 21, []span{{12, 20}}, 20},
		{"handed out, then removed", []uint64{11, 12, 13}, 13, nil, 13},
		{"handed out again", []uint64{12, 11, 12}, 11, nil, 12},
		{"far", []uint64{20}, 31, []span{{11, 19}, {21, 30}}, 30},
	} {
		l := lossWatch{position: 10}
		for _, sequence := range c.handed {
			l.handedOut(sequence)
		}
		if got := l.removed(c.first); !slices.Equal(got, c.want) || l.position != c.then {
			t.Errorf("%s: %v at %d, want %v at %d", c.name, got, l.position, c.want, c.then)
		}
		if again := l.removed(c.first); len(again) != 0 {
			t.Errorf("%s: told again: %v", c.name, again)
		}
	}
}

// removedLines returns the log's lines about events that the stream removed.
func (w *world) removedLines() (lines []string) {
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "forward.removed") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (w *world) limit(change func(*jetstream.StreamConfig)) {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), "ZOOM")
	must(w.t, err)
	cfg := stream.CachedInfo().Config
	change(&cfg)
	_, err = w.js.UpdateStream(w.t.Context(), cfg)
	must(w.t, err)
}

// TestPurged: events are purged while the endpoint accepts none. Those in flight are still
// delivered.
func TestPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(int) string { return "503" })
	for n := range 10 { // messages 1 to 10
		w.store("meeting.started", n, n)
	}
	w.stored()
	o := w.options(1)
	o.Attempts = 1_000_000
	i := w.start(o)
	w.until("the first is in flight", func() bool { return strings.Contains(w.log.String(), "forward.refused") })
	stream, err := w.js.Stream(t.Context(), "ZOOM")
	must(t, err)
	must(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(6)))
	w.endpoint.setFails(func(int) string { return "" })
	w.until("the rest is delivered", func() bool { return w.endpoint.count() == 6 })
	w.until("the loss is told", func() bool { return len(w.removedLines()) > 0 })
	w.end(i)
	if lines := w.removedLines(); len(lines) != 1 || !strings.Contains(lines[0], `"level":"error"`) || !strings.Contains(lines[0], `"from_seq":2,"to_seq":5,`) {
		t.Errorf("%q", lines)
	}
	if !strings.Contains(w.log.String(), `"removed":4,"in_flight":0,"lag_s":0,`) {
		t.Errorf("the end does not tell of it: %s", w.log.String())
	}
}

// TestAwayForLongerThanMaxAge: the server hands out more and more, since it does not count what it
// has removed. What is in flight stays bounded, and what is given up is logged.
func TestAwayForLongerThanMaxAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(int) string { return "503" })
	w.limit(func(c *jetstream.StreamConfig) { c.Duplicates, c.MaxAge = 100*time.Millisecond, 100*time.Millisecond })
	o := w.options(1)
	o.Attempts = 1_000_000
	i := w.start(o)
	next, stored := time.Now(), 0
	w.until("many are given up", func() bool {
		if time.Now().After(next) {
			w.store("meeting.started", stored, stored)
			next, stored = time.Now().Add(20*time.Millisecond), stored+1
		}
		lost := 0
		for _, line := range w.removedLines() {
			var told struct {
				From uint64 `json:"from_seq"`
				To   uint64 `json:"to_seq"`
			}
			must(t, json.Unmarshal([]byte(line), &told))
			lost += int(told.To - told.From + 1)
		}
		return lost >= 150
	})
	w.end(i)
	var ended struct {
		InFlight int `json:"in_flight"`
	}
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "forward.ended") {
			must(t, json.Unmarshal([]byte(line), &ended))
		}
	}
	if ended.InFlight == 0 || ended.InFlight > 3*maxWindows { // including what comes between two checks
		t.Errorf("%d are in flight at the end", ended.InFlight)
	}
}

// TestEndedAfterAPurge: purged events that are in flight at the end cannot be handed back, and are
// logged.
func TestEndedAfterAPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint.setFails(func(int) string { return "503" })
	for n := range 3 {
		w.store("meeting.started", n, n)
	}
	w.stored()
	o := w.options(4)
	o.Attempts = 1_000_000
	i := w.start(o)
	w.until("all is in flight", func() bool {
		c, err := w.js.Consumer(t.Context(), "ZOOM", "forward-team")
		return err == nil && c.CachedInfo().NumAckPending == 3 && strings.Contains(w.log.String(), "forward.refused")
	})
	stream, err := w.js.Stream(t.Context(), "ZOOM")
	must(t, err)
	must(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(3)))
	w.end(i)
	if lines := w.removedLines(); len(lines) != 1 || !strings.Contains(lines[0], `"from_seq":1,"to_seq":2,"filtered":false`) {
		t.Errorf("%q", lines)
	}
}

// TestExpired: max_age removes events while no instance runs.
func TestExpired(t *testing.T) {
	t.Parallel()
	for _, events := range [][]string{nil, {"meeting.*"}} {
		t.Run(fmt.Sprint(events), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := w.options(2)
			o.Events = events
			w.store("meeting.started", 0, 0)
			w.stored()
			i := w.start(o)
			w.until("it is delivered", func() bool { return w.endpoint.count() == 1 })
			w.end(i)
			for n := range 5 {
				w.store("meeting.started", n+1, n)
			}
			w.stored()
			w.limit(func(c *jetstream.StreamConfig) { c.Duplicates, c.MaxAge = 100*time.Millisecond, 100*time.Millisecond })
			w.until("they are gone", func() bool {
				stream, err := w.js.Stream(t.Context(), "ZOOM")
				return err == nil && stream.CachedInfo().State.Msgs == 0
			})
			i = w.start(o)
			w.until("the loss is told", func() bool { return len(w.removedLines()) > 0 })
			w.end(i)
			if lines := w.removedLines(); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf(`"from_seq":2,"to_seq":6,"filtered":%t`, events != nil)) {
				t.Errorf("%q", lines)
			}
		})
	}
}

// TestNothingIsRemoved: an instance that asks for few events, and one that stands by, report no
// loss.
func TestNothingIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options(1)
	o.Events = []string{"user.*"}
	i, standby := w.start(o), w.start(o)
	w.until("both run", func() bool { return strings.Count(w.log.String(), "forward.begun") == 2 })
	for n := range 50 {
		name := "meeting.started"
		if n%10 == 0 {
			name = "user.created"
		}
		w.store(name, n, n)
	}
	w.stored()
	w.until("all is delivered", func() bool { return w.endpoint.count() == 5 })
	w.limit(func(c *jetstream.StreamConfig) { c.Duplicates, c.MaxAge = 3*time.Second, 3*time.Second }) // many checks happen meanwhile
	w.until("they are gone", func() bool {
		stream, err := w.js.Stream(t.Context(), "ZOOM")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	w.store("user.created", 60, 60)
	w.stored()
	w.until("the next one is delivered", func() bool { return w.endpoint.count() == 6 })
	w.end(i)
	w.end(standby)
	if lines := w.removedLines(); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
}
