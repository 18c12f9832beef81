package zoomsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// ErrNobody is the error for an event that no socket would receive.
var ErrNobody = errors.New("nobody is connected")

// Event is an event to emit. Body or Name is required; the rest may be zero.
type Event struct {
	Body []byte // sent byte for byte; nil: a fresh body of the event Name
	Name string // for the ledger; empty: taken from the body

	TrackingID  string // empty: a random one, in the shapes seen on the wire
	NoTracking  bool   // omit x-zm-trackingid
	RequestID   string // x-zm-request-id; empty: omitted
	Traceparent string // empty: omitted

	AsObject bool          // content is the body itself rather than a string with it
	Late     time.Duration // how much older than the frame event_ts is, if the body has one
	Repeat   int           // how often the frame is sent; 0 and 1: once

	template *template // makes the body; nil: Body is used, or one of the event Name
}

// Emit sends one event to the newest ready socket of the subscription, subject to its standing
// faults. It does not wait for the network: the socket's own goroutine writes events in the order
// in which they were emitted. Drain waits for that.
//
// The returned entry is the ledger's (of several copies the first) in its initial state: Queued or
// Nobody.
func (s *Sim) Emit(subscription string, e Event) Entry {
	now := time.Now()
	s.spoil(subscription, &e)
	frame := s.frame(&e, now)
	return s.deliver(item{frame: frame, typ: websocket.MessageText}, max(1, e.Repeat), Entry{
		At: now, Subscription: subscription, Event: e.Name, TrackingID: e.TrackingID, Digest: sha256.Sum256(e.Body),
	})
}

// Frame returns the message frame that Emit would send, without faults and without sending it.
func (s *Sim) Frame(e Event) []byte { return s.frame(&e, time.Now()) }

// SendRaw sends a frame unchanged, as text or as binary.
func (s *Sim) SendRaw(subscription string, frame []byte, binary bool) Entry {
	typ := websocket.MessageText
	if binary {
		typ = websocket.MessageBinary
	}
	return s.deliver(item{frame: frame, typ: typ}, 1, Entry{
		At: time.Now(), Subscription: subscription, Digest: sha256.Sum256(frame), Raw: true,
	})
}

// fresh returns a body of the event as Emit makes it: with ts as its event_ts, and with a unique
// number "sim_seq".
func (s *Sim) fresh(name string, ts time.Time) []byte {
	return newTemplate(Body(name)).body(s.seq.Add(1), ts)
}

// CheckLive returns an ErrNobody if no socket would receive an event.
func (s *Sim) CheckLive(subscription string) error {
	live := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Summaries())), func(id string) bool { return s.Summary(id).Live == 0 })
	if slices.Contains(live, subscription) {
		return nil
	}
	return fmt.Errorf("%w to subscription %q (connected: %s)",
		ErrNobody, subscription, cmp.Or(strings.Join(live, ", "), "none"))
}

// spoil applies the standing faults to an event.
func (s *Sim) spoil(subscription string, e *Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.use(faultLate, subscription); f != nil {
		e.Late = max(e.Late, f.value.(time.Duration))
	}
	if f := s.use(faultDuplicate, subscription); f != nil {
		e.Repeat = max(e.Repeat, f.value.(int))
	}
	if s.use(faultObject, subscription) != nil {
		e.AsObject = true
	}
	if e.TrackingID != "" || e.NoTracking {
		return
	}
	sub := s.sub(subscription)
	if sub.pair != "" {
		e.TrackingID, sub.pair = sub.pair, ""
	} else if s.use(faultSameTracking, subscription) != nil {
		e.TrackingID = newTrackingID(e.Name)
		sub.pair = e.TrackingID
	}
}

// frame completes an event and returns its frame.
func (s *Sim) frame(e *Event, now time.Time) []byte {
	if e.template == nil && e.Body == nil {
		e.template = newTemplate(Body(e.Name))
	}
	switch {
	case e.template != nil:
		e.Body = e.template.body(s.seq.Add(1), now.Add(-e.Late))
	case e.Late > 0:
		e.Body = newTemplate(e.Body).body(0, now.Add(-e.Late))
	}
	if e.Name == "" {
		e.Name = eventName(e.Body)
	}
	if e.TrackingID == "" && !e.NoTracking {
		e.TrackingID = newTrackingID(e.Name)
	}
	return appendFrame(make([]byte, 0, len(e.Body)+len(e.Body)/4+512), e, &s.opt, now)
}

// deliver adds a frame to the ledger, the given number of times, and queues it for the newest ready
// socket.
func (s *Sim) deliver(it item, times int, e Entry) Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.sub(e.Subscription)
	muted := sub.current != nil && s.use(faultMute, sub.id) != nil
	var first Entry
	for e.Copy = range times {
		e.N, e.Socket, e.Outcome = s.ledger.last+1, 0, Nobody
		it.entry = e.N
		if k := sub.current; k != nil && !muted && k.push(it) {
			e.Socket, e.Outcome = k.rec.N, Queued
			sub.sum.Queued++
		} else {
			sub.sum.Nobody++
		}
		s.ledger.add(e)
		if e.Copy == 0 {
			first = e
		} else {
			sub.sum.Copies++
		}
		if e.Raw {
			sub.sum.Raw++
		}
		sub.sum.Emitted++
	}
	s.notify()
	return first
}

// eventName returns the event's name in a body, for the ledger only; empty if it has none.
func eventName(body []byte) string {
	var e struct{ Event string }
	json.Unmarshal(body, &e) //nolint:errcheck // what is no event has no name
	return e.Event
}
