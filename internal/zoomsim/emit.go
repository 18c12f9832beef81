package zoomsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Event is one event to emit. Body or Name is needed, the rest may stay zero.
type Event struct {
	Body []byte // sent byte for byte; nil: a fresh body of the event Name
	Name string // for the ledger; empty: taken from the body

	TrackingID  string // empty: a random one, in the shapes seen on the wire
	NoTracking  bool   // leave x-zm-trackingid out
	RequestID   string // x-zm-request-id; empty: left out
	Traceparent string // empty: left out

	AsObject bool          // content is the body itself, not a string that holds it
	Late     time.Duration // makes event_ts, where the body has one, that much older than the frame
	Repeat   int           // how many times the frame is sent; 0 and 1: once
}

// Delivery says where an event went.
type Delivery struct {
	N          int64   `json:"n"` // ledger entry; of several copies the first
	Event      string  `json:"event,omitempty"`
	TrackingID string  `json:"tracking_id,omitempty"`
	Digest     Digest  `json:"digest"`
	Socket     int     `json:"socket"`  // the socket that took it, 0: nobody
	Outcome    Outcome `json:"outcome"` // Queued, or Nobody; the ledger tells what became of it
}

// Emit sends one event to the newest ready socket of the subscription, with
// the faults that stand for it. It never waits for the network: events that are
// emitted one after the other are written in that order by the socket's own
// goroutine. Drain waits for that.
func (s *Sim) Emit(subscription string, e Event) Delivery {
	return s.emit(subscription, e, nil)
}

// Frame is the message frame that Emit would send, without sending it and
// without faults.
func (s *Sim) Frame(e Event) []byte {
	m := s.message(e, nil, plan{late: e.Late, object: e.AsObject, tracking: e.TrackingID}, time.Now())
	return m.frame
}

// SendRaw sends a frame as it is, as text or as binary.
func (s *Sim) SendRaw(subscription string, frame []byte, binary bool) Delivery {
	return s.sendRaw(subscription, "", frame, binary)
}

func (s *Sim) sendRaw(subscription, kind string, frame []byte, binary bool) Delivery {
	typ := websocket.MessageText
	if binary {
		typ = websocket.MessageBinary
	}
	return s.deliver(item{frame: frame, typ: typ}, 1, Entry{
		At: time.Now(), Subscription: subscription, Event: kind, Digest: sha256.Sum256(frame), Raw: true,
	})
}

func (s *Sim) emit(subscription string, e Event, t *template) Delivery {
	now := time.Now()
	p := s.plan(subscription, e, now)
	m := s.message(e, t, p, now)
	return s.deliver(item{frame: m.frame, typ: websocket.MessageText}, p.times, Entry{
		At: now, Subscription: subscription, Event: m.name, TrackingID: m.tracking, Digest: sha256.Sum256(m.body),
	})
}

// plan is how an event is to be sent, its own wishes and the standing faults
// together.
type plan struct {
	late     time.Duration
	times    int
	object   bool
	tracking string // empty: generate
}

func (s *Sim) plan(subscription string, e Event, now time.Time) plan {
	p := plan{late: e.Late, times: max(1, e.Repeat), object: e.AsObject, tracking: e.TrackingID}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.sub(subscription)
	if by, ok := faultOf[time.Duration](s, sub, faultLate, now); ok {
		p.late = max(p.late, by)
	}
	if times, ok := faultOf[int](s, sub, faultDuplicate, now); ok {
		p.times = max(p.times, times)
	}
	if _, ok := faultOf[bool](s, sub, faultObject, now); ok {
		p.object = true
	}
	if p.tracking == "" && !e.NoTracking {
		if sub.pair != "" {
			p.tracking, sub.pair = sub.pair, ""
		} else if _, ok := faultOf[bool](s, sub, faultSameTracking, now); ok {
			p.tracking = newTrackingID(e.Name)
			sub.pair = p.tracking
		}
	}
	return p
}

// message is an event made ready.
type message struct {
	body, frame    []byte
	name, tracking string
}

func (s *Sim) message(e Event, t *template, p plan, now time.Time) message {
	m := message{body: e.Body, name: e.Name, tracking: p.tracking}
	if t == nil && e.Body == nil {
		t = newTemplate(Body(e.Name))
	}
	switch {
	case t != nil:
		m.body = t.fresh(s.seq.Add(1), now.Add(-p.late))
		m.name = t.name
	case p.late > 0:
		m.body = newTemplate(e.Body).stamped(now.Add(-p.late))
	}
	if m.name == "" {
		m.name = eventName(m.body)
	}
	if m.tracking == "" && !e.NoTracking {
		m.tracking = newTrackingID(m.name)
	}
	h := header{
		authorization: s.opt.VerificationToken,
		clientID:      s.opt.ClientID,
		trackingID:    m.tracking,
		requestID:     e.RequestID,
		traceparent:   e.Traceparent,
		timestamp:     epochSeconds(now),
	}
	if h.clientID == "" {
		h.clientID = DefaultClientID
	}
	if s.opt.SecretToken != "" {
		h.signature = sign(s.opt.SecretToken, h.timestamp, m.body)
	}
	m.frame = appendFrame(make([]byte, 0, len(m.body)+len(m.body)/4+512), m.body, p.object, h)
	return m
}

// deliver enters a frame into the ledger and queues it for the newest ready
// socket.
func (s *Sim) deliver(it item, times int, e Entry) Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.sub(e.Subscription)
	k := sub.current
	if k != nil {
		if _, muted := faultOf[bool](s, sub, faultMute, e.At); muted {
			k = nil
		}
	}
	d := Delivery{Event: e.Event, TrackingID: e.TrackingID, Digest: e.Digest, Outcome: Nobody}
	for e.Copy = range times {
		e.Socket, e.Outcome = 0, Nobody
		if k != nil && k.room(len(it.frame)) {
			e.Socket, e.Outcome = k.rec.N, Queued
		} else {
			k = nil
		}
		it.entry = s.ledger.add(e)
		if e.Copy == 0 {
			d.N, d.Socket, d.Outcome = it.entry, e.Socket, e.Outcome
		} else {
			sub.sum.Copies++
		}
		sub.sum.Emitted++
		if e.Raw {
			sub.sum.Raw++
		}
		if k == nil {
			sub.sum.Nobody++
			continue
		}
		sub.sum.Queued++
		k.push(it)
	}
	s.notify()
	return d
}

// eventName finds the event's name in a body, for the ledger only; empty if it
// has none.
func eventName(body []byte) string {
	v, ok := findField(body, "event")
	if !ok {
		return ""
	}
	var name string
	if json.Unmarshal(body[v.start:v.end], &name) != nil {
		return ""
	}
	return name
}

// field is where a top-level member of a JSON object stands.
type field struct{ key, start, end int }

// findField finds the last top-level member with exactly this key, spelled
// without escapes.
func findField(body []byte, key string) (field, bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return field{}, false
	}
	quoted := strconv.Quote(key)
	var found field
	ok := false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return found, ok
		}
		end := int(dec.InputOffset())
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return found, ok
		}
		if name == key && bytes.HasSuffix(body[:end], []byte(quoted)) {
			found.end = int(dec.InputOffset())
			found.start = found.end - len(value)
			found.key = end - len(quoted)
			ok = true
		}
	}
	return found, ok
}
