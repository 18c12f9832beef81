package ops

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

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/page"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

const (
	// lastEvents are shown; each new one is one request to NATS.
	lastEvents = 20
	// timelineSpan is how far back the timeline reaches, and keepControl how many
	// control messages it holds at most.
	timelineSpan = 24 * time.Hour
	keepControl  = 3000
	// idleAfter nobody has looked, what was read is dropped.
	idleAfter = time.Minute
)

// Feed reads what the status page shows of the stream, as long as somebody looks.
// Each of its methods is for one goroutine at a time.
type Feed struct {
	Conn    func() *nats.Conn // nil: there is none
	Stream  string
	Prefix  string // of the subjects
	Leaders *Leaders

	last uint64 // sequence that Events has read
	seen []page.Event

	consumer jetstream.Consumer
	looked   time.Time
	control  []page.Moment
	created  time.Time // the stream was
}

// Events are the latest messages of the stream, newest first.
func (f *Feed) Events(ctx context.Context) ([]page.Event, error) {
	stream, err := f.stream(ctx)
	if err != nil {
		return nil, err
	}
	newest := stream.CachedInfo().State.LastSeq
	if newest < f.last { // the stream was made anew
		f.last, f.seen = 0, nil
	}
	first := max(f.last+1, stream.CachedInfo().State.FirstSeq)
	if newest >= lastEvents {
		first = max(first, newest-lastEvents+1)
	}
	for seq := first; seq <= newest; seq++ {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read message %d of stream %s: %w", seq, f.Stream, err)
		}
		f.seen = append(f.seen, f.event(msg))
		f.last = seq
	}
	f.seen = f.seen[max(0, len(f.seen)-lastEvents):]
	all := slices.Clone(f.seen)
	slices.Reverse(all)
	return all, nil
}

func (f *Feed) stream(ctx context.Context) (jetstream.Stream, error) {
	nc := f.Conn()
	if nc == nil {
		return nil, errNoNATS
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, f.Stream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", f.Stream, err)
	}
	return stream, nil
}

var errNoNATS = errors.New("this replica has no connection to NATS")

// event is what is shown of a message: nothing of its body but the topic.
func (f *Feed) event(msg *jetstream.RawStreamMsg) page.Event {
	e := page.Event{
		Seq: msg.Sequence, Subject: msg.Subject, Event: msg.Header.Get("Zoom-Event"), Subscription: msg.Header.Get("Zoom-Subscription"),
		At: msg.Time.UTC(), ID: msg.Header.Get(nats.MsgIdHdr),
		Malformed: msg.Subject == f.Prefix+"._bridge.malformed", Reason: msg.Header.Get("Zoom-Reason"),
	}
	if e.Event == "" {
		e.Event = strings.TrimPrefix(msg.Subject, f.Prefix+".")
		return e
	}
	if happened := zoom.Happened(msg.Data, msg.Time); !happened.IsZero() {
		late := msg.Time.Sub(happened).Seconds()
		e.LateSeconds = &late
	}
	var body struct {
		Payload struct {
			Object struct {
				Topic string `json:"topic"`
			} `json:"object"`
		} `json:"payload"`
	}
	if json.Unmarshal(msg.Data, &body) == nil { // in some events, object is an array, and there is no topic
		e.Topic = body.Payload.Object.Topic
	}
	return e
}

// Timeline is what has happened in the last day, oldest first: gaps, alarms and
// malformed frames as the stream tells of them, and the leaders that this process has
// seen.
func (f *Feed) Timeline(ctx context.Context) ([]page.Moment, error) {
	since := time.Now().Add(-timelineSpan)
	err := f.read(ctx, since)
	var all []page.Moment
	for _, m := range f.control {
		if cmp.Or(m.Until, m.At).After(since) {
			all = append(all, m)
		}
	}
	if f.created.After(since) {
		all = append(all, page.Moment{At: f.created.UTC(), Kind: page.KindBegan})
	}
	all = append(all, f.Leaders.Moments(since)...)
	slices.SortStableFunc(all, func(a, b page.Moment) int { return a.At.Compare(b.At) })
	return all, err
}

// read reads the control messages that are new.
func (f *Feed) read(ctx context.Context, since time.Time) error {
	if time.Since(f.looked) > idleAfter {
		f.consumer, f.control = nil, nil
	}
	f.looked = time.Now()
	if f.consumer == nil {
		stream, err := f.stream(ctx)
		if err != nil {
			return err
		}
		f.consumer, err = stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{f.Prefix + "._bridge.>"}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
			InactiveThreshold: 2 * idleAfter,
		})
		if err != nil {
			f.consumer = nil
			return fmt.Errorf("read the control messages of stream %s: %w", f.Stream, err)
		}
		f.control, f.created = nil, stream.CachedInfo().Created
	}
	for more := true; more && ctx.Err() == nil; {
		batch, err := f.consumer.FetchNoWait(500)
		if err != nil {
			f.consumer = nil // made anew next time
			return fmt.Errorf("read the control messages of stream %s: %w", f.Stream, err)
		}
		more = false
		for msg := range batch.Messages() {
			more = true
			if m, ok := f.moment(msg); ok {
				f.control = append(f.control, m)
			}
		}
		if err := batch.Error(); err != nil {
			f.consumer = nil
			return fmt.Errorf("read the control messages of stream %s: %w", f.Stream, err)
		}
	}
	f.control = f.control[max(0, len(f.control)-keepControl):]
	return nil
}

func (f *Feed) moment(msg jetstream.Msg) (m page.Moment, ok bool) {
	stored := time.Now()
	if meta, err := msg.Metadata(); err == nil {
		stored = meta.Timestamp
	}
	switch strings.TrimPrefix(msg.Subject(), f.Prefix+"._bridge.") {
	case "gap":
		var g bridge.Gap
		if json.Unmarshal(msg.Data(), &g) != nil {
			return m, false
		}
		return page.Moment{
			At: g.From, Until: g.To, Kind: page.KindGap, Subscription: g.Subscription, Replica: g.Replica, Previous: g.PreviousReplica,
			Name: string(g.Cause), Detail: g.Detail,
		}, true
	case "alarm":
		var a bridge.Alarm
		if json.Unmarshal(msg.Data(), &a) != nil {
			return m, false
		}
		kind := page.KindCleared
		if a.Raised {
			kind = page.KindAlarm
		}
		return page.Moment{At: a.At, Kind: kind, Subscription: a.Subscription, Replica: a.Replica, Name: a.Name, Detail: a.Detail}, true
	case "malformed":
		return page.Moment{
			At: stored.UTC(), Kind: page.KindMalformed, Subscription: msg.Headers().Get("Zoom-Subscription"), Detail: msg.Headers().Get("Zoom-Reason"),
		}, true
	}
	return m, false
}
