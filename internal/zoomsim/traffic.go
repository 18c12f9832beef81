package zoomsim

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrClosed ends traffic and replays when the simulator is closed.
var ErrClosed = errors.New("zoomsim: the simulator is closed")

// Traffic is a stream of generated events. Each body is unique: it has a fresh event_ts, and a
// number "sim_seq" that increases over all bodies that the simulator generates; its other bytes are
// the sample's.
type Traffic struct {
	Subscription string
	Rate         float64  // events per second; 0: as fast as the socket takes them, which requires Count
	Count        int64    // 0: until ctx is done
	Bodies       [][]byte // used in turn; nil: the samples
}

// Mix is a list of bodies in given proportions, parsed from "meeting.started=5,meeting.ended":
// event names and their weights, by default 1.
type Mix [][]byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mix) UnmarshalText(text []byte) error {
	weights := make(map[string]int)
	for part := range strings.SplitSeq(string(text), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(cmp.Or(weight, "1"))
		if name == "" || err != nil || n < 1 || n > 1000 {
			return fmt.Errorf("mix: %q is not of the form name=weight,name=weight with weights from 1 to 1000", text)
		}
		weights[name] = n
	}
	*m = nil
	names := slices.Sorted(maps.Keys(weights))
	for round := range slices.Max(slices.Collect(maps.Values(weights))) {
		for _, name := range names {
			if round < weights[name] {
				*m = append(*m, Body(name))
			}
		}
	}
	return nil
}

// Traffic emits events until Count is reached, ctx is done or the simulator is closed. It returns
// how many it emitted, and in the latter two cases the reason. A slow socket slows it down instead
// of overflowing.
func (s *Sim) Traffic(ctx context.Context, t Traffic) (int64, error) {
	if t.Rate <= 0 && t.Count <= 0 {
		return 0, errors.New("zoomsim: traffic without a rate needs a count")
	}
	if len(t.Bodies) == 0 {
		t.Bodies = Samples()
	}
	var templates []*template
	for _, body := range t.Bodies {
		templates = append(templates, newTemplate(body))
	}
	p := s.newPace(t.Subscription, t.Rate)
	for n := int64(0); t.Count <= 0 || n < t.Count; n++ {
		if err := p.wait(ctx); err != nil {
			return n, err
		}
		next := templates[n%int64(len(templates))]
		s.Emit(t.Subscription, Event{Name: next.name, template: next})
	}
	return t.Count, nil
}

// maxLine bounds a line of a file to replay, in bytes.
const maxLine = 32 << 20

// Replay emits the events of a file, one per line, rate per second; 0 is as fast as the socket
// takes them. A line is either output of "zoomstream tail --json", of which it uses the event's
// body and Zoom's headers and skips other messages, or a body, byte for byte. It skips empty lines.
// It returns how many events it emitted.
func (s *Sim) Replay(ctx context.Context, subscription string, r io.Reader, rate float64) (n int64, err error) {
	p := s.newPace(subscription, rate)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		event, ok := parseRecorded(lines.Bytes())
		if !ok {
			continue
		}
		if err := p.wait(ctx); err != nil {
			return n, err
		}
		s.Emit(subscription, event)
		n++
	}
	if err := lines.Err(); err != nil {
		return n, fmt.Errorf("zoomsim: reading the events to replay: %w", err)
	}
	return n, nil
}

// parseRecorded returns the event in a line, if there is one.
func parseRecorded(line []byte) (Event, bool) {
	var recorded struct {
		Sequence uint64 `json:"stream_seq"`
		Kind     string `json:"kind"`
		Headers  struct {
			TrackingID  string `json:"x-zm-trackingid"`
			RequestID   string `json:"x-zm-request-id"`
			Traceparent string `json:"traceparent"`
		} `json:"headers"`
		Body json.RawMessage `json:"body"`
	}
	if bytes.Contains(line, []byte(`"stream_seq"`)) && json.Unmarshal(line, &recorded) == nil && recorded.Sequence > 0 {
		h := recorded.Headers
		event := Event{Body: recorded.Body, TrackingID: h.TrackingID, RequestID: h.RequestID, Traceparent: h.Traceparent}
		return event, recorded.Kind == "event" && len(event.Body) > 0
	}
	return Event{Body: line}, len(line) > 0
}

// burstAhead is how many bytes may be queued for a socket during a burst.
const burstAhead = 1 << 20

// pace delays events: to a rate, and to what the socket takes.
type pace struct {
	sim          *Sim
	subscription string
	rate         float64
	start        time.Time
	n            int64
	ahead        int // bytes that may be queued for the socket
}

func (s *Sim) newPace(subscription string, rate float64) *pace {
	p := &pace{sim: s, subscription: subscription, rate: rate, start: time.Now(), ahead: queueBytes / 2}
	if rate <= 0 {
		p.ahead = burstAhead
	}
	return p
}

// wait blocks until the next event is due and its socket has room.
func (p *pace) wait(ctx context.Context) error {
	if err := p.awaitRoom(ctx); err != nil {
		return err
	}
	var early time.Duration
	if p.rate > 0 {
		early = time.Until(p.start.Add(time.Duration(float64(p.n) / p.rate * float64(time.Second))))
	}
	p.n++
	if early > 0 {
		early = max(early, time.Millisecond) // above 1000/s, one burst per millisecond
	}
	return p.sim.sleep(ctx, early)
}

// awaitRoom blocks while too much is queued for the subscription's socket, and then until only half
// as much is.
func (p *pace) awaitRoom(ctx context.Context) error {
	limit := p.ahead
	return p.sim.waitFor(ctx, func() bool {
		k := p.sim.sub(p.subscription).current
		if k == nil || k.queued <= limit {
			return true
		}
		limit = p.ahead / 2
		return false
	})
}
