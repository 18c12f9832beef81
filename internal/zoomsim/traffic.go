package zoomsim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrClosed ends traffic and replays of a simulator that was closed.
var ErrClosed = errors.New("zoomsim: the simulator is closed")

// Traffic is a stream of generated events. Each has a body of its own: a fresh
// event_ts, and a number "sim_seq" that grows over all bodies that the
// simulator makes; the rest of the bytes is the sample's.
type Traffic struct {
	Subscription string
	Rate         float64        // events per second; 0: as fast as the socket takes them, then Count is needed
	Count        int64          // 0: until the context is done
	Mix          map[string]int // event names and weights; nil: the sample bodies in turn
	Bodies       [][]byte       // instead of Mix: these in turn
}

// ParseMix reads "meeting.started=5,meeting.ended"; a name without a weight
// counts once.
func ParseMix(text string) (map[string]int, error) {
	mix := make(map[string]int)
	for part := range strings.SplitSeq(text, ",") {
		name, weight, given := strings.Cut(strings.TrimSpace(part), "=")
		n := 1
		if given {
			var err error
			if n, err = strconv.Atoi(weight); err != nil || n < 1 {
				return nil, fmt.Errorf("mix: weight %q of %q is no number above 0", weight, name)
			}
		}
		if name == "" {
			return nil, fmt.Errorf("mix: %q holds an empty event name; write name=weight,name=weight", text)
		}
		mix[name] += n
	}
	return mix, nil
}

// Traffic emits until Count is reached, the context is done or the simulator is
// closed. It returns how many events it emitted, and with the latter two why
// it stopped. A socket that cannot follow slows it down, rather than overflow.
func (s *Sim) Traffic(ctx context.Context, t Traffic) (int64, error) {
	if t.Rate <= 0 && t.Count <= 0 {
		return 0, errors.New("zoomsim: traffic without a rate needs a count")
	}
	templates, err := t.templates()
	if err != nil {
		return 0, err
	}
	p := s.newPace(t.Subscription, t.Rate)
	for n := int64(0); t.Count <= 0 || n < t.Count; n++ {
		if err := p.wait(ctx); err != nil {
			return n, err
		}
		s.emit(t.Subscription, Event{Name: templates[n%int64(len(templates))].name}, templates[n%int64(len(templates))])
	}
	return t.Count, nil
}

// Replay emits the bodies of a JSONL file, one per line, byte for byte, rate
// per second; 0 is as fast as the socket takes them. Empty lines are passed
// over. It returns how many it emitted.
func (s *Sim) Replay(ctx context.Context, subscription string, r io.Reader, rate float64) (int64, error) {
	p := s.newPace(subscription, rate)
	lines := bufio.NewReaderSize(r, 64<<10)
	for n := int64(0); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return n, fmt.Errorf("zoomsim: reading the events to replay: %w", err)
		}
		body := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(body) > 0 {
			if err := p.wait(ctx); err != nil {
				return n, err
			}
			s.Emit(subscription, Event{Body: body})
			n++
		}
		if err == io.EOF {
			return n, nil
		}
	}
}

// templates are what the traffic takes its bodies from, in turn.
func (t Traffic) templates() ([]*template, error) {
	var list []*template
	switch {
	case t.Bodies != nil:
		for _, body := range t.Bodies {
			list = append(list, newTemplate(body))
		}
	case t.Mix != nil:
		return mixed(t.Mix)
	default:
		for _, body := range Samples() {
			list = append(list, newTemplate(body))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("zoomsim: traffic without a body")
	}
	return list, nil
}

// mixed spreads weighted names evenly over one cycle, the same at every run.
func mixed(mix map[string]int) ([]*template, error) {
	names := slices.Sorted(maps.Keys(mix))
	made := make(map[string]*template)
	total := 0
	for _, name := range names {
		if mix[name] < 1 {
			return nil, fmt.Errorf("zoomsim: the mix gives %q the weight %d; it must be above 0", name, mix[name])
		}
		total += mix[name]
		made[name] = newTemplate(Body(name))
	}
	if total == 0 || total > 100_000 {
		return nil, fmt.Errorf("zoomsim: the weights of the mix add up to %d; they must stay between 1 and 100000", total)
	}
	var cycle []*template
	credit := make(map[string]int)
	for range total { // smooth weighted round robin
		best := names[0]
		for _, name := range names {
			credit[name] += mix[name]
			if credit[name] > credit[best] {
				best = name
			}
		}
		credit[best] -= total
		cycle = append(cycle, made[best])
	}
	return cycle, nil
}

// burstAhead is how many bytes may wait for a socket during a burst.
const burstAhead = 1 << 20

// pace holds events back: to a rate, and to what the socket takes.
type pace struct {
	sim          *Sim
	subscription string
	rate         float64
	start        time.Time
	n            float64
	ahead        int
}

func (s *Sim) newPace(subscription string, rate float64) *pace {
	p := &pace{sim: s, subscription: subscription, rate: rate, start: time.Now(), ahead: s.opt.QueueBytes / 2}
	if rate <= 0 {
		p.ahead = min(p.ahead, burstAhead)
	}
	return p
}

// wait blocks until the next event is due and its socket has room.
func (p *pace) wait(ctx context.Context) error {
	if drained := p.sim.behind(p.subscription, p.ahead); drained != nil {
		select {
		case <-drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.sim.done:
			return ErrClosed
		}
	}
	var early time.Duration
	if p.rate > 0 {
		early = time.Until(p.start.Add(time.Duration(p.n / p.rate * float64(time.Second))))
	}
	p.n++
	if early <= 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.sim.done:
			return ErrClosed
		default:
			return nil
		}
	}
	timer := time.NewTimer(max(early, time.Millisecond)) // above 1000/s, a burst per millisecond
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.sim.done:
		return ErrClosed
	}
}

// behind returns a channel if more than so many bytes wait for the
// subscription's socket; it is closed when few do, or the socket is gone.
func (s *Sim) behind(subscription string, ahead int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.sub(subscription).current
	if k == nil || k.queued <= ahead {
		return nil
	}
	if k.drained == nil {
		k.drained = make(chan struct{})
	}
	return k.drained
}
