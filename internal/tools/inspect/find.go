package inspect

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

// Query is what to find.
type Query struct {
	// What is an event's name, a tracking id, a message id or a request id, or a string
	// that stands anywhere in an event's payload, or the number payload.object.id. It may
	// be percent-encoded, once or twice.
	What  string
	Since time.Time // stored since
	Limit int       // of the messages told of; at least 1
	// MaxBytes, if above 0, has only the latest messages looked at, as many as have about
	// so many bytes, and the newest of those found told of instead of the oldest, without
	// siblings and without bodies over 256 KiB.
	MaxBytes int64
}

// largeBody is how many bytes a body has at least that [Query.MaxBytes] leaves out of what is
// told. Zoom's have a few kilobytes.
const largeBody = 256 << 10

// Findings are the messages found.
type Findings struct {
	Searched string    `json:"searched"`
	Stream   string    `json:"stream"`
	Since    time.Time `json:"since"`
	Holds    time.Time `json:"stream_from,omitzero"` // the stream's oldest message
	Looked   uint64    `json:"messages_looked_at"`
	LeftOut  uint64    `json:"-"`    // older messages, by MaxBytes
	More     bool      `json:"more"` // there may be more: the limit is reached

	Matches []Match `json:"matches"` // oldest first
	// Siblings are other messages under the tracking id of a match: events of the
	// same operation. They are looked for in the hour around the matches.
	Siblings []Sibling `json:"same_tracking_id"`
	// Malformed are frames that are no events, under the same tracking id or with
	// what is searched for in them.
	Malformed []Malformed `json:"malformed"`
	// Gaps are those since then, if nothing is found.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Match is a message found.
type Match struct {
	Sequence     uint64 `json:"stream_seq"`
	Subject      string `json:"subject"`
	Event        string `json:"event,omitempty"`
	Matched      string `json:"matched"` // the header, or the place in the body
	MessageID    string `json:"message_id"`
	TrackingID   string `json:"tracking_id,omitempty"`
	RequestID    string `json:"request_id,omitempty"`
	Subscription string `json:"subscription,omitempty"`
	Epoch        uint64 `json:"epoch,omitempty"`
	Seq          uint64 `json:"seq,omitempty"`       // in the epoch
	Signature    string `json:"signature,omitempty"` // valid or invalid; empty: not checked
	Bytes        int    `json:"bytes"`
	Hops         Hops   `json:"hops"`

	Body []byte `json:"-"`
}

// Sibling is a message under the same tracking id as a match.
type Sibling struct {
	Sequence   uint64    `json:"stream_seq"`
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	TrackingID string    `json:"tracking_id"`
	Stored     time.Time `json:"stored_at"`
}

// Malformed is a frame that is no event.
type Malformed struct {
	Sequence   uint64    `json:"stream_seq"`
	MessageID  string    `json:"message_id"`
	TrackingID string    `json:"tracking_id,omitempty"`
	Code       string    `json:"reason_code"`
	Reason     string    `json:"reason"`
	Received   string    `json:"received_at,omitempty"`
	Stored     time.Time `json:"stored_at"`
}

// operation is how far from a match the others of its operation are looked for.
const operation = time.Hour

// hit is where something was found.
type hit struct {
	seq      uint64
	matched  string
	stored   time.Time
	tracking string
}

// Found reports whether there is anything.
func (f *Findings) Found() bool { return len(f.Matches)+len(f.Malformed) > 0 }

// Find looks for messages stored since a time. The headers are read first, and
// the bodies only if that gives nothing.
func (s *Stream) Find(ctx context.Context, q Query) (*Findings, error) {
	f := &Findings{Searched: q.What, Stream: s.name, Since: q.Since.UTC(), Matches: []Match{}, Siblings: []Sibling{}, Malformed: []Malformed{}}
	state, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	f.Holds = state.FirstTime.UTC()
	w := newWanted(q.What)
	l := look{subject: s.all(), since: q.Since, last: state.LastSeq}
	if q.MaxBytes > 0 {
		if l, f.LeftOut, err = s.latest(ctx, l, state, q.MaxBytes); err != nil {
			return nil, err
		}
	}
	var hits []hit
	if !w.onlyInBodies() {
		l.headers = true
		if hits, f.Looked, err = s.hits(ctx, l, w, q); err != nil {
			return nil, err
		}
	}
	if len(hits) == 0 {
		l.headers = false
		if hits, f.Looked, err = s.hits(ctx, l, w, q); err != nil {
			return nil, err
		}
	}
	hits, f.More = limited(hits, q)
	if f.Matches, err = s.matches(ctx, hits, q); err != nil {
		return nil, err
	}
	malformed, err := s.malformed(ctx, l, w, hits, q)
	if err != nil {
		return nil, err
	}
	var more bool
	f.Malformed, more = limited(malformed, q)
	f.More = f.More || more
	if q.MaxBytes == 0 {
		if f.Siblings, err = s.siblings(ctx, state.LastSeq, hits, q.Limit); err != nil {
			return nil, err
		}
	}
	if !f.Found() {
		f.Gaps, _, err = s.Gaps(ctx, q.Since, "")
	}
	return f, err
}

// latest narrows a look to the latest messages, as many as have about so many bytes. It
// returns how many it leaves out.
func (s *Stream) latest(ctx context.Context, l look, state jetstream.StreamState, bytes int64) (look, uint64, error) {
	most := max(1, uint64(float64(bytes)/float64(max(state.Bytes, 1))*float64(state.Msgs)))
	counter, err := s.stream.CreateConsumer(ctx, l.consumer())
	if err != nil {
		return l, 0, s.failed(ctx, err)
	}
	s.removeConsumer(ctx, counter.CachedInfo().Name)
	pending := counter.CachedInfo().NumPending
	if pending <= most {
		return l, 0, nil
	}
	l.from = l.last - min(l.last, most) + 1
	return l, pending - most, nil
}

// hits are the places of what is wanted, one more than the limit at most: the first ones,
// or with a bound of what is looked at the last.
func (s *Stream) hits(ctx context.Context, l look, w wanted, q Query) (hits []hit, looked uint64, err error) {
	looked, err = s.scan(ctx, l, func(m *Message) bool {
		matched := w.header(m.Header)
		if matched == "" && len(m.Body) > 0 {
			matched = w.body(m.Body)
		}
		if matched != "" && message.KindOf(s.prefix, m.Subject) != message.KindMalformed {
			hits = append(hits, hit{seq: m.Sequence, matched: matched, stored: m.Stored, tracking: m.Header.Get(message.HeaderTrackingID)})
		}
		return goesOn(&hits, q)
	})
	return hits, looked, err
}

// goesOn reports whether a scan goes on, until one more than the limit is found. With a bound
// of what is looked at it does in any case, and so many of the last ones are kept.
func goesOn[T any](found *[]T, q Query) bool {
	if q.MaxBytes > 0 {
		*found = (*found)[max(0, len(*found)-q.Limit-1):]
		return true
	}
	return len(*found) <= q.Limit
}

// limited is found without the one over the limit, and whether there was one.
func limited[T any](found []T, q Query) (kept []T, more bool) {
	switch {
	case len(found) <= q.Limit:
		return found, false
	case q.MaxBytes > 0:
		return found[1:], true
	}
	return found[:q.Limit], true
}

// matches reads what was found, whole; where bytes are bounded, without the large bodies.
func (s *Stream) matches(ctx context.Context, hits []hit, q Query) ([]Match, error) {
	all := []Match{}
	for _, found := range hits {
		m, err := s.message(ctx, found.seq)
		if err != nil {
			return nil, err
		}
		if m == nil || m.Sequence != found.seq {
			continue // it was removed meanwhile
		}
		h := message.ParseHeaders(m.Header)
		match := Match{
			Sequence: m.Sequence, Subject: m.Subject, Event: h.Event, Matched: found.matched, MessageID: h.ID, TrackingID: h.TrackingID, RequestID: h.RequestID,
			Subscription: h.Subscription, Epoch: h.Epoch, Seq: h.Seq, Signature: h.Signature, Bytes: len(m.Body), Hops: hops(m), Body: m.Body,
		}
		if q.MaxBytes > 0 && match.Bytes > largeBody {
			match.Body = nil
		}
		all = append(all, match)
	}
	return all, nil
}

// malformed are the frames that are no events and belong to what is wanted, one more than the
// limit at most, as in hits.
func (s *Stream) malformed(ctx context.Context, l look, w wanted, hits []hit, q Query) ([]Malformed, error) {
	all := []Malformed{}
	l.subject, l.headers = message.KindMalformed.Subject(s.prefix), false
	_, err := s.scan(ctx, l, func(m *Message) bool {
		tracking := m.Header.Get(message.HeaderTrackingID)
		if w.header(m.Header) != "" || w.in(m.Body) || tracking != "" && slices.ContainsFunc(hits, func(h hit) bool { return h.tracking == tracking }) {
			frame := message.ParseMalformed(m.Header, m.Body)
			all = append(all, Malformed{
				Sequence: m.Sequence, MessageID: m.Header.Get(message.HeaderID), TrackingID: tracking, Code: frame.Code,
				Reason: frame.Reason, Received: m.Header.Get(message.HeaderReceivedAt), Stored: m.Stored.UTC(),
			})
		}
		return goesOn(&all, q)
	})
	return all, err
}

// siblings are the other messages under the tracking ids of what was found.
func (s *Stream) siblings(ctx context.Context, last uint64, hits []hit, limit int) ([]Sibling, error) {
	all := []Sibling{}
	tracked := map[string]bool{}
	found := map[uint64]bool{}
	for _, h := range hits {
		found[h.seq] = true
		if h.tracking != "" && h.matched != message.HeaderTrackingID { // else all under it are found
			tracked[h.tracking] = true
		}
	}
	if len(tracked) == 0 {
		return all, nil
	}
	until := hits[len(hits)-1].stored.Add(operation)
	l := look{subject: s.all(), since: hits[0].stored.Add(-operation), last: last, headers: true}
	_, err := s.scan(ctx, l, func(m *Message) bool {
		tracking := m.Header.Get(message.HeaderTrackingID)
		if tracked[tracking] && !found[m.Sequence] && message.KindOf(s.prefix, m.Subject) != message.KindMalformed {
			all = append(all, Sibling{Sequence: m.Sequence, Subject: m.Subject, MessageID: m.Header.Get(message.HeaderID), TrackingID: tracking, Stored: m.Stored.UTC()})
		}
		return len(all) < limit && m.Stored.Before(until)
	})
	return all, err
}
