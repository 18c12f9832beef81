package httpserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// lastEvents is how many events are shown. Reading a new one takes one request to NATS.
	lastEvents = 20
	// timelineSpan is how far back the timeline reaches; keepControl bounds the control messages in
	// it; newControl bounds how many new ones are read in a round, each with one request.
	timelineSpan = 24 * time.Hour
	keepControl  = 3000
	newControl   = 100
	// idleAfter is the time without a viewer after which everything is read again.
	idleAfter = time.Minute
)

// Feed reads what the status page shows of the stream, while somebody views it. Neither Events nor
// Timeline is safe for concurrent use with itself.
type Feed struct {
	JS      func() (jetstream.JetStream, error)                    // or the reason why there is no connection
	Connect func(ctx context.Context) (jetstream.JetStream, error) // opens a separate connection, which is closed after use
	Stream  string
	Prefix  string // of the subjects
	Leaders *Leaders

	events struct {
		created time.Time // creation time of the stream they are from
		last    uint64    // sequence read last
		seen    []page.Event
	}
	control struct {
		created time.Time
		last    uint64
		looked  time.Time
		moments []page.Moment
	}
}

// Events returns the stream's latest messages, newest first.
func (f *Feed) Events(ctx context.Context) ([]page.Event, error) {
	stream, err := f.stream(ctx)
	if err != nil {
		return nil, err
	}
	e, info := &f.events, stream.CachedInfo()
	if newest := info.State.LastSeq; !info.Created.Equal(e.created) || newest < e.last {
		e.created, e.last, e.seen = info.Created, 0, nil
	}
	for seq := max(e.last+1, info.State.FirstSeq, info.State.LastSeq-min(info.State.LastSeq, lastEvents-1)); seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(ctx, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("read message %d of stream %s: %w", seq, f.Stream, err)
		}
		if err == nil {
			e.seen = append(e.seen, f.event(msg))
		}
		e.last = seq
	}
	e.seen = e.seen[max(0, len(e.seen)-lastEvents):]
	all := slices.Clone(e.seen)
	slices.Reverse(all)
	return all, nil
}

func (f *Feed) stream(ctx context.Context) (jetstream.Stream, error) {
	js, err := f.JS()
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, f.Stream)
	if errors.Is(err, nats.ErrNoResponders) {
		err = jsapi.AtPlace(js, status.ErrNoJetStream)
	}
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", f.Stream, err)
	}
	return stream, nil
}

// Reasons why nothing can be asked now.
var (
	ErrNoNATS  = errors.New("this replica has no connection to NATS")
	ErrWaiting = errors.New("this replica is connected to NATS and waits for JetStream, its stream and its buckets")
)

// event returns what is shown of a message: of its body only the topic.
func (f *Feed) event(msg *jetstream.RawStreamMsg) page.Event {
	h := message.ParseHeaders(msg.Header)
	e := page.Event{
		Seq: msg.Sequence, Subject: short(msg.Subject), Event: short(h.Event), Subscription: short(h.Subscription), At: msg.Time.UTC(), ID: short(h.ID),
	}
	if message.KindOf(f.Prefix, msg.Subject) == message.KindMalformed {
		e.Malformed, e.Reason = true, short(message.ParseMalformed(msg.Header, nil).Reason)
	}
	if e.Event == "" {
		e.Event = short(strings.TrimPrefix(msg.Subject, f.Prefix+"."))
		return e
	}
	if happened := message.Happened(msg.Data, msg.Time); !happened.IsZero() {
		late := msg.Time.Sub(happened).Seconds()
		e.LateSeconds = &late
	}
	e.Topic = topic(msg.Data)
	return e
}

// topic returns the topic of a meeting or webinar; empty if the body has none.
func topic(body []byte) string {
	var b struct {
		Payload struct {
			Object struct {
				Topic string `json:"topic"`
			} `json:"object"`
		} `json:"payload"`
	}
	if json.Unmarshal(body, &b) != nil { // in some events object is an array, without a topic
		return ""
	}
	return short(b.Payload.Object.Topic)
}

// Timeline returns what happened in the last day, oldest first: gaps, alarms and malformed frames
// from the stream, and the leaders that this process has seen.
func (f *Feed) Timeline(ctx context.Context) ([]page.Moment, error) {
	since := time.Now().Add(-timelineSpan)
	err := f.read(ctx, since)
	var all []page.Moment
	for _, m := range f.control.moments {
		if cmp.Or(m.Until, m.At).After(since) {
			all = append(all, m)
		}
	}
	if f.control.created.After(since) {
		all = append(all, page.Moment{At: f.control.created.UTC(), Kind: page.KindBegan})
	}
	all = append(all, f.Leaders.Moments(since)...)
	nameCrashes(all)
	slices.SortStableFunc(all, func(a, b page.Moment) int { return a.At.Compare(b.At) })
	return all, err
}

// connectsWithin bounds the time from the start of a leader's term to the end of the gap that its
// connection closes.
const connectsWithin = time.Minute

// nameCrashes relabels a change of leader as a crash if the stream has a matching gap marker: an
// expired lease looks free, like one released in a handover.
func nameCrashes(all []page.Moment) {
	type leader struct{ subscription, replica string }
	gaps := make(map[leader][]time.Time) // ends of the gaps
	for _, m := range all {
		if m.Kind == page.KindGap && m.Name == string(message.GapCrash) {
			who := leader{m.Subscription, m.Replica}
			gaps[who] = append(gaps[who], m.Until)
		}
	}
	for i := range all {
		m := &all[i]
		if m.Kind != page.KindLeader || m.Name != page.Handover && m.Name != page.Rebalance {
			continue
		}
		if slices.ContainsFunc(gaps[leader{m.Subscription, m.Replica}], func(end time.Time) bool {
			return !end.Before(m.At) && end.Sub(m.At) < connectsWithin
		}) {
			m.Name = page.Crash
		}
	}
}

// read reads the control messages: all of the last day the first time, then only new ones.
func (f *Feed) read(ctx context.Context, since time.Time) error {
	c := &f.control
	idle := time.Since(c.looked) > idleAfter
	c.looked = time.Now()
	stream, err := f.stream(ctx)
	if err != nil {
		return err
	}
	if info := stream.CachedInfo(); idle || !info.Created.Equal(c.created) || info.State.LastSeq < c.last {
		c.created, c.last, c.moments = info.Created, 0, nil
		if err := f.readAll(ctx, since); err != nil {
			c.created = time.Time{} // start over next time
			return err
		}
		c.last = max(c.last, info.State.LastSeq)
	}
	for range newControl {
		msg, err := stream.GetMsg(ctx, c.last+1, jetstream.WithGetMsgSubject(message.BridgeSubjects(f.Prefix)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the control messages of stream %s: %w", f.Stream, err)
		}
		f.keep(&inspect.Message{Sequence: msg.Sequence, Stored: msg.Time, Subject: msg.Subject, Header: msg.Header, Body: msg.Data})
	}
	c.moments = c.moments[max(0, len(c.moments)-keepControl):]
	return nil
}

func (f *Feed) readAll(ctx context.Context, since time.Time) error {
	js, err := f.JS()
	if err != nil {
		return err
	}
	stream, err := inspect.Open(ctx, js, f.Stream, f.Prefix)
	if err != nil {
		return err
	}
	return stream.Control(ctx, since, f.keep)
}

func (f *Feed) keep(msg *inspect.Message) {
	f.control.last = msg.Sequence
	if m, ok := f.moment(msg); ok {
		f.control.moments = append(f.control.moments, m)
	}
	if len(f.control.moments) > 2*keepControl {
		f.control.moments = slices.Clone(f.control.moments[keepControl:])
	}
}

func (f *Feed) moment(msg *inspect.Message) (m page.Moment, ok bool) {
	switch message.KindOf(f.Prefix, msg.Subject) {
	case message.KindGap:
		g, err := message.ParseGap(msg.Body, msg.Stored)
		return page.Moment{
			At: g.From, Until: g.To, Kind: page.KindGap, Subscription: g.Subscription, Replica: g.Replica, Previous: g.PreviousReplica,
			Name: string(g.Cause), Detail: g.Detail,
		}, err == nil
	case message.KindAlarm:
		a, err := message.ParseAlarm(msg.Body, msg.Stored)
		kind := page.KindCleared
		if a.Raised {
			kind = page.KindAlarm
		}
		if at := a.At; at.After(msg.Stored) || msg.Stored.Sub(at) > timelineSpan { // implausible: anybody may have published it
			a.At = msg.Stored.UTC()
		}
		return page.Moment{At: a.At, Kind: kind, Subscription: a.Subscription, Replica: a.Replica, Name: a.Name, Detail: a.Detail}, err == nil
	case message.KindMalformed:
		return page.Moment{
			At: msg.Stored.UTC(), Kind: page.KindMalformed, Subscription: short(message.ParseHeaders(msg.Header).Subscription), Detail: message.ParseMalformed(msg.Header, nil).Reason,
		}, true
	}
	return m, false
}

// short cuts a text to what the page shows, since events and moments are kept for long.
func short(text string) string { return message.Short(text, page.MaxText) }
