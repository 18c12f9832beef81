package inspect

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

// Query says what to find.
type Query struct {
	// What is an event's name, a tracking id, a message id, a request id, any string in an event's
	// payload, or the number payload.object.id. It may be percent-encoded, once or twice.
	What  string
	Since time.Time // stored at or after this time
	Limit int       // maximum number of messages returned; at least 1
	// MaxBytes, if above 0, restricts the search to the latest messages, about this many bytes of
	// them. Of the matches, the newest are then returned instead of the oldest, without siblings
	// and without bodies over 256 KiB.
	MaxBytes int64
}

// largeBody is the size in bytes above which [Query.MaxBytes] drops a body from the result. Zoom's
// bodies have a few kilobytes.
const largeBody = 256 << 10

// Findings is the result of a search.
type Findings struct {
	Searched string    `json:"searched"`
	Stream   string    `json:"stream"`
	Since    time.Time `json:"since"`
	Holds    time.Time `json:"stream_from,omitzero"` // time of the stream's oldest message
	Looked   uint64    `json:"messages_looked_at"`
	LeftOut  uint64    `json:"-"`    // older messages skipped because of MaxBytes
	More     bool      `json:"more"` // the limit is reached, so there may be more

	Matches []Match `json:"matches"` // oldest first
	// Siblings are other messages with the tracking id of a match: events of the same operation.
	// They are searched within an hour of the matches.
	Siblings []Sibling `json:"same_tracking_id"`
	// Malformed are malformed frames with the same tracking id, or that contain what was searched
	// for.
	Malformed []Malformed `json:"malformed"`
	// Gaps are the gaps since then, if nothing was found.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Match is a matching message.
type Match struct {
	Sequence     uint64 `json:"stream_seq"`
	Subject      string `json:"subject"`
	Event        string `json:"event,omitempty"`
	Matched      string `json:"matched"` // matching header, or place in the body
	MessageID    string `json:"message_id"`
	TrackingID   string `json:"tracking_id,omitempty"`
	RequestID    string `json:"request_id,omitempty"`
	Subscription string `json:"subscription,omitempty"`
	Epoch        uint64 `json:"epoch,omitempty"`
	Seq          uint64 `json:"seq,omitempty"`       // number within the epoch
	Signature    string `json:"signature,omitempty"` // valid or invalid; empty: not checked
	Bytes        int    `json:"bytes"`
	Hops         Hops   `json:"hops"`

	Body []byte `json:"-"`
}

// Sibling is another message with the tracking id of a match.
type Sibling struct {
	Sequence   uint64    `json:"stream_seq"`
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	TrackingID string    `json:"tracking_id"`
	Stored     time.Time `json:"stored_at"`
}

// Malformed is a malformed frame.
type Malformed struct {
	Sequence   uint64    `json:"stream_seq"`
	MessageID  string    `json:"message_id"`
	TrackingID string    `json:"tracking_id,omitempty"`
	Code       string    `json:"reason_code"`
	Reason     string    `json:"reason"`
	Received   string    `json:"received_at,omitempty"`
	Stored     time.Time `json:"stored_at"`
}

// operation is the maximum distance between a match and the other events of its operation.
const operation = time.Hour

// hit is a match, before the message is read.
type hit struct {
	seq      uint64
	matched  string
	stored   time.Time
	tracking string
}

// Found reports whether anything was found.
func (f *Findings) Found() bool { return len(f.Matches)+len(f.Malformed) > 0 }

// Find searches messages stored since a time. It reads the headers first, and the bodies only if
// that finds nothing.
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

// latest restricts a look to the latest messages, about the given number of bytes. It also returns
// how many messages that skips.
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

// hits returns the matches, at most one more than the limit: the first ones, or with MaxBytes the
// last ones.
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

// goesOn reports whether a scan continues. It stops at one match more than the limit. With MaxBytes
// it always continues, and keeps that many of the last matches.
func goesOn[T any](found *[]T, q Query) bool {
	if q.MaxBytes > 0 {
		*found = (*found)[max(0, len(*found)-q.Limit-1):]
		return true
	}
	return len(*found) <= q.Limit
}

// limited removes the match above the limit, and reports whether there was one.
func limited[T any](found []T, q Query) (kept []T, more bool) {
	switch {
	case len(found) <= q.Limit:
		return found, false
	case q.MaxBytes > 0:
		return found[1:], true
	}
	return found[:q.Limit], true
}

// matches reads the matching messages; with MaxBytes it drops large bodies.
func (s *Stream) matches(ctx context.Context, hits []hit, q Query) ([]Match, error) {
	all := []Match{}
	for _, found := range hits {
		m, err := s.message(ctx, found.seq)
		if err != nil {
			return nil, err
		}
		if m == nil || m.Sequence != found.seq {
			continue // removed meanwhile
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

// malformed returns the malformed frames that match or belong to a match, at most one more than the
// limit, as in hits.
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

// siblings returns the other messages with the tracking ids of the matches.
func (s *Stream) siblings(ctx context.Context, last uint64, hits []hit, limit int) ([]Sibling, error) {
	all := []Sibling{}
	tracked := map[string]bool{}
	found := map[uint64]bool{}
	for _, h := range hits {
		found[h.seq] = true
		if h.tracking != "" && h.matched != message.HeaderTrackingID { // otherwise all of them match already
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
