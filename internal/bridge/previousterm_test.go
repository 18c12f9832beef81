package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// TestLossStart: the marker of a crash begins no later than the first event that the dead replica
// had received and not made safe, nor than when Zoom sent the last frame that it read. The test
// tries each source of that: the replica's last answer, its state, and the stream.
func TestLossStart(t *testing.T) {
	s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js := newJetStream(t, nc)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	p := outbox.New(js, outbox.Options{Stream: "ZOOM"})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) }) //nolint:errcheck // the connection outlives it
	t.Cleanup(func() { cancel(); running.Wait() })

	begin := time.Now().Truncate(time.Second).UTC()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	connected := func(s record.State) record.State {
		s.State, s.Nonce, s.Epoch, s.Since = record.Connected, "dead", 3, begin
		return s
	}
	for name, c := range map[string]struct {
		last           record.State
		answered       time.Time // safe until this time, by its last answer; zero: no answer
		received, sent int       // of the newest event in the stream; 0: none
		want           time.Time
	}{
		"its last answer":                       {connected(record.State{LastFrame: at(50), SafeUntil: at(50)}), at(58), 0, 0, at(58)},
		"its state":                             {connected(record.State{LastFrame: at(50), SafeUntil: at(50)}), time.Time{}, 0, 0, at(50)},
		"its state, events were held up":        {connected(record.State{LastFrame: at(50), SafeUntil: at(20)}), time.Time{}, 0, 0, at(20)},
		"events of the connection before too":   {connected(record.State{LastFrame: at(50), SafeUntil: at(-30)}), time.Time{}, 0, 0, at(-30)},
		"its state, of an older version":        {connected(record.State{LastFrame: at(50)}), time.Time{}, 0, 0, at(50)},
		"the stream":                            {connected(record.State{LastFrame: at(50), SafeUntil: at(20)}), time.Time{}, 55, 55, at(55)},
		"the stream, whose last event was late": {connected(record.State{LastFrame: at(50), SafeUntil: at(20)}), time.Time{}, 55, 30, at(30)},
		"a connection that may have been dead":  {connected(record.State{LastFrame: at(40), SafeUntil: at(45), Unanswered: true}), time.Time{}, 0, 0, at(40)},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := js.Stream(t.Context(), "ZOOM")
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.received > 0 {
				_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "zoom.a", Header: nats.Header{message.HeaderSubscription: {"sub"}, message.HeaderEpoch: {"3"},
					message.HeaderReceivedAt: {at(c.received).Format(time.RFC3339Nano)}, message.HeaderSentAt: {strconv.FormatInt(at(c.sent).Unix(), 10)}}})
				if err != nil {
					t.Fatal(err)
				}
			}
			cfg := testConfig(t, nc, zerolog.Nop())
			cfg.Outbox, cfg.Peers = p, testPeers{safeUntil: c.answered}
			b := New(js, nil, cfg)
			_, gap := b.gapBeforeTerm(t.Context(), c.last, at(60))
			if gap == nil || gap.Cause != message.GapCrash || !gap.From.Equal(c.want) || !gap.To.Equal(at(60)) {
				t.Errorf("%+v, want it from %v", gap, c.want)
			}
		})
	}
	t.Run("a stop with events in memory", func(t *testing.T) {
		stream, err := js.Stream(t.Context(), "ZOOM")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(t, nc, zerolog.Nop())
		cfg.Outbox = p
		b := New(js, nil, cfg)
		last := record.State{State: record.Disconnected, Cause: message.GapStart, Nonce: "dead", Epoch: 3, Since: at(40), SafeUntil: at(35)}
		if _, gap := b.gapBeforeTerm(t.Context(), last, at(60)); gap == nil || gap.Cause != message.GapStart || !gap.From.Equal(at(35)) {
			t.Errorf("%+v", gap)
		}
	})
}

// TestConnectionThatBrokeInTheHandover: an end that was noticed only after the next connection was
// ready may have been the displacement. The gap is then not certain.
func TestConnectionThatBrokeInTheHandover(t *testing.T) {
	begin := time.Now().Truncate(time.Second).UTC()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		since, ended time.Time
		cause        message.GapCause
		silent       bool // its replica can no longer be asked
		want         bool // whether the gap is certain
	}{
		"noticed before":                              {at(57), at(58), message.GapDisconnected, false, true},
		"noticed after":                               {at(57), at(61), message.GapDisconnected, false, false},
		"closed on purpose":                           {at(57), at(61), message.GapHandoverTimeout, false, true},
		"closed on purpose just then":                 {at(60), at(60), message.GapHandoverTimeout, false, false},
		"stopped during the dial, nobody in sight":    {at(60), at(60), message.GapStart, true, false},
		"stopped before the dial":                     {at(59), at(59), message.GapStart, true, true},
		"displaced before, it says":                   {at(57), at(57), message.GapKicked, false, true},
		"displaced just then, it says":                {at(60), at(60), message.GapKicked, false, false},
		"displaced before, by another clock":          {at(57), at(57), message.GapKicked, true, false},
		"displaced just then, and it is gone by then": {at(60), at(60), message.GapKicked, true, false},
	} {
		last := record.State{State: record.Disconnected, Cause: c.cause, Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: c.since, Ended: c.ended, Now: at(62)}
		cfg := testConfig(t, nil, zerolog.Nop())
		cfg.Clock = func(time.Time) time.Time { return at(62) }
		cfg.Peers = testPeers{answer: func(string) ([]byte, error) {
			if c.silent {
				return nil, errors.New("nobody answers")
			}
			return json.Marshal(last)
		}}
		b := New(nil, nil, cfg)
		b.firstDial.Store(int64(100 * time.Millisecond))
		if _, gap := b.gapBeforeTerm(t.Context(), last, at(60)); gap == nil || gap.Certain != c.want || !gap.From.Equal(gapStart(c.cause, c.since)) {
			t.Errorf("%s: %+v", name, gap)
		}
	}
}

// gapStart returns when a gap begins after a connection whose end was noticed at a time.
func gapStart(cause message.GapCause, ended time.Time) time.Time {
	if cause == message.GapKicked {
		return ended.Add(-zoom.ReadDelay)
	}
	return ended
}

// TestDisplacedBySomebody: if a replica cannot be asked, what it recorded counts. If it knows only
// that its successor or a stranger displaced it, the clocks of two machines decide.
func TestDisplacedBySomebody(t *testing.T) {
	begin := time.Now().Truncate(time.Second).UTC()
	for _, c := range []struct {
		state   record.ConnState
		seconds time.Duration // before the next connection; negative: after it
		gap     bool
	}{
		{record.HandedOver, 7, false}, {record.HandedOver, 11, true}, {record.HandedOver, -3, false}, {record.Displaced, 7, true}, {record.Displaced, 11, true}, {record.Displaced, -3, false},
	} {
		last := record.State{State: c.state, Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: begin.Add(-c.seconds * time.Second)}
		b := New(nil, nil, testConfig(t, nil, zerolog.Nop()))
		_, gap := b.gapBeforeTerm(t.Context(), last, begin)
		if (gap != nil) != c.gap || c.gap && (gap.Cause != message.GapKicked || gap.Certain || !gap.From.Equal(gapStart(gap.Cause, last.Since))) {
			t.Errorf("%s %ds before: %+v", c.state, c.seconds, gap)
		}
	}
}

// TestDisplacedBefore: a replica that cannot be asked recorded that it was displaced, and its clock
// is ahead. How old the record is decides, unless there may have been a term in between.
func TestDisplacedBefore(t *testing.T) {
	s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	states, err := kv.Open(t.Context(), newJetStream(t, nc), kv.Options{Name: "states"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		term Term // its Previous and Released
		age  time.Duration
		gap  bool
	}{
		"long before, after a release":    {Term{Released: 3}, 1500 * time.Millisecond, true},
		"long before, after a death":      {Term{Previous: record.Lease{Nonce: "before", Epoch: 3}}, 1500 * time.Millisecond, true},
		"long before, a term in between":  {Term{Released: 5}, 1500 * time.Millisecond, false},
		"long before, perhaps a term too": {Term{}, 1500 * time.Millisecond, false},
		"a moment before":                 {Term{Released: 3}, 500 * time.Millisecond, false},
		"just now":                        {Term{Released: 3}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, nil, zerolog.Nop())
			cfg.States, cfg.Subscription = states, strings.ReplaceAll(name, " ", "-")
			cfg.Term.Previous, cfg.Term.Released = c.term.Previous, c.term.Released
			ready := time.Now()
			if _, err := states.Put(t.Context(), record.StatePrefix+cfg.Subscription, []byte("{}"), 0, 0); err != nil {
				t.Fatal(err)
			}
			written := time.Now()
			if c.age > 0 {
				time.Sleep(c.age)
				ready = time.Now()
			}
			last := record.State{State: record.HandedOver, Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: ready.Add(5 * time.Second)}
			_, gap := New(nil, nil, cfg).gapBeforeTerm(t.Context(), last, ready)
			if (gap != nil) != c.gap || gap != nil && (gap.Certain || gap.Cause != message.GapKicked || gap.From.After(written.Add(100*time.Millisecond))) {
				t.Errorf("written %s before: %+v", ready.Sub(written), gap)
			}
		})
	}
}

// TestDisplacedByThisOne: this replica's dial displaces the previous connection at some time while
// it lasts. A dial may take long, and during a long one a stranger may have displaced it.
func TestDisplacedByThisOne(t *testing.T) {
	begin := time.Now().Truncate(time.Second).UTC()
	at := func(milliseconds int) time.Time { return begin.Add(time.Duration(milliseconds) * time.Millisecond) }
	const ready = 9000
	for _, c := range []struct {
		dial, before int // milliseconds: length of the dial; time of the displacement before the end of the dial
		ours         bool
	}{
		{5, 3, true}, {5, 45, true}, {5, 60, false}, {120, 95, true}, {120, 130, false}, {5000, 200, true}, {5000, 400, false}, {120, -20, true},
	} {
		last := record.State{State: record.HandedOver, Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: at(ready - c.before), Now: at(ready + 50)}
		cfg := testConfig(t, nil, zerolog.Nop())
		cfg.Clock = func(time.Time) time.Time { return at(ready + 50) }
		cfg.Peers = testPeers{answer: func(string) ([]byte, error) { return json.Marshal(last) }}
		b := New(nil, nil, cfg)
		b.firstDial.Store(int64(time.Duration(c.dial) * time.Millisecond))
		_, gap := b.gapBeforeTerm(t.Context(), last, at(ready))
		if ours := gap == nil; ours != c.ours || gap != nil && gap.Cause != message.GapKicked {
			t.Errorf("displaced %d ms before, and the dial took %d ms: %+v", c.before, c.dial, gap)
		}
	}
}

// TestUnrecordedTerm: a replica took the lease and died before it recorded anything, so nobody
// knows whether it connected. The replica before it may look live, or as if it had handed over just
// now, since Zoom leaves a displaced connection open for a while.
func TestUnrecordedTerm(t *testing.T) {
	begin := time.Now().Truncate(time.Second).UTC()
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	none := time.Time{}
	for name, c := range map[string]struct {
		last record.State
		want time.Time // begin of the gap; zero: no gap
		dead bool      // the replica of the term in between cannot be asked
	}{
		"it seems live":             {record.State{State: record.Connected, Since: at(0), LastFrame: at(50), LastEvent: at(30)}, at(50), true},
		"handed over at last":       {record.State{State: record.HandedOver, Since: at(60), LastFrame: at(59), LastEvent: at(30)}, at(55), true},
		"displaced, it says":        {record.State{State: record.Displaced, Since: at(60), LastFrame: at(59), LastEvent: at(30)}, at(55), true},
		"events came, so not yet":   {record.State{State: record.Connected, Since: at(0), LastFrame: at(59), LastEvent: at(58)}, at(58), true},
		"events come still":         {record.State{State: record.Connected, Since: at(0), LastFrame: at(60), LastEvent: at(60)}, none, true},
		"it says it never did":      {record.State{State: record.HandedOver, Since: at(60), LastFrame: at(59), LastEvent: at(30)}, none, false},
		"it was disconnected first": {record.State{State: record.Disconnected, Since: at(40), LastFrame: at(39), Cause: message.GapDisconnected}, at(40), true},
	} {
		t.Run(name, func(t *testing.T) {
			c.last.Replica, c.last.Nonce, c.last.Epoch, c.last.Connection, c.last.Now = "a", "before", 3, 1, at(60)
			cfg := testConfig(t, nil, zerolog.Nop())
			cfg.Term.Previous = record.Lease{Nonce: "between", Epoch: 5, Since: at(55)}
			cfg.Clock = func(time.Time) time.Time { return at(60) }
			cfg.Peers = testPeers{answer: func(nonce string) ([]byte, error) {
				switch {
				case nonce == "before":
					return json.Marshal(c.last)
				case c.dead:
					return nil, context.DeadlineExceeded
				}
				return json.Marshal(record.State{State: record.Disconnected, Replica: "b", Nonce: "between", Epoch: 5, Now: at(60)})
			}}
			b := New(nil, nil, cfg)
			_, gap := b.gapBeforeTerm(t.Context(), c.last, at(60))
			if c.want.IsZero() {
				if gap != nil {
					t.Errorf("%+v, want none", gap)
				}
				return
			}
			if gap == nil || !gap.From.Equal(c.want) || !gap.To.Equal(at(60)) {
				t.Errorf("%+v, want it from %v", gap, c.want)
			}
		})
	}
}
