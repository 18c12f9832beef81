package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/subjects"
)

// Gap is an interval in which no connection of a subscription was live.
type Gap struct {
	Subscription    string    `json:"subscription"`
	From            time.Time `json:"from"`
	To              time.Time `json:"to"`
	Duration        float64   `json:"duration_s"`
	Cause           string    `json:"cause"`
	Detail          string    `json:"detail,omitempty"`
	Certain         bool      `json:"certain"`
	PreviousReplica string    `json:"previous_replica"`
	Replica         string    `json:"replica"`
	Epoch           uint64    `json:"epoch"`
	ID              string    `json:"id"`
	Sequence        uint64    `json:"stream_seq"` // of the marker
	Stored          time.Time `json:"stored_at"`
}

// Family is the events whose names begin alike, as meeting.started and
// meeting.ended do.
type Family struct {
	Family string `json:"family"`
	Events uint64 `json:"events"` // that the stream holds
}

// GapReport is the gaps since a time, and what would fill them.
type GapReport struct {
	Stream       string    `json:"stream"`
	Since        time.Time `json:"since"`
	Holds        time.Time `json:"stream_from,omitzero"`   // the stream's oldest message
	Subscription string    `json:"subscription,omitempty"` // that was asked for; empty: all

	Gaps  []Gap   `json:"gaps"` // oldest first
	Count int     `json:"count"`
	Total float64 `json:"total_s"` // overlaps of one subscription's count once

	Families []Family `json:"families"` // of the events in the stream, by name
	// Sharing are the subscriptions known to store in the stream. With several,
	// which of the families are one's is not known.
	Sharing []string `json:"subscriptions"`
	Reread  []Reread `json:"reread"`
}

// Reread is what to read again for the gaps on consecutive days. Zoom's lists go
// by whole days, UTC.
type Reread struct {
	From     string    `json:"from"` // a date
	To       string    `json:"to"`   // a date, included
	Gaps     int       `json:"gaps"`
	Requests []Request `json:"requests"`
	Nothing  []string  `json:"no_list_known"` // families
}

// clockSkew is how much earlier than its end a marker may have been stored, by the
// server's clock.
const clockSkew = time.Minute

// Gaps are the gaps that ended since a time, of one subscription or of all, oldest
// first.
func (s *Stream) Gaps(ctx context.Context, since time.Time, subscription string) ([]Gap, error) {
	state, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	gaps := []Gap{}
	known := map[string]bool{} // stored again after the duplicate window
	l := look{subject: subjects.Control(s.prefix, subjects.Gap), since: since.Add(-clockSkew), last: state.LastSeq}
	_, err = s.scan(ctx, l, func(m *message) bool {
		var g bridge.Gap
		if json.Unmarshal(m.body, &g) != nil || g.To.Before(since) || subscription != "" && g.Subscription != subscription || known[g.ID] {
			return true
		}
		known[g.ID] = g.ID != ""
		gaps = append(gaps, Gap{
			Subscription: g.Subscription, From: g.From, To: g.To, Duration: seconds(g.To.Sub(g.From)),
			Cause: string(g.Cause), Detail: g.Detail, Certain: g.Certain,
			PreviousReplica: g.PreviousReplica, Replica: g.Replica, Epoch: g.Epoch, ID: g.ID, Sequence: m.seq, Stored: m.stored.UTC(),
		})
		return true
	})
	slices.SortStableFunc(gaps, func(a, b Gap) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	return gaps, err
}

// GapReport tells of the gaps that ended since a time, of one subscription or of
// all. The bucket is that of the leases.
func (s *Stream) GapReport(ctx context.Context, since time.Time, subscription, bucket string) (*GapReport, error) {
	r := &GapReport{Stream: s.name, Since: since.UTC(), Subscription: subscription, Reread: []Reread{}}
	var err error
	if r.Gaps, err = s.Gaps(ctx, since, subscription); err != nil {
		return nil, err
	}
	if r.Families, r.Holds, err = s.families(ctx); err != nil {
		return nil, err
	}
	if r.Sharing, err = s.subscriptions(ctx, bucket, r.Gaps); err != nil {
		return nil, err
	}
	r.Count, r.Total = len(r.Gaps), seconds(covered(r.Gaps))
	for _, d := range days(r.Gaps) {
		r.Reread = append(r.Reread, reread(d, r.Families))
	}
	return r, nil
}

// covered is how long gaps, oldest first, last in all; where those of one
// subscription overlap, that time counts once.
func covered(gaps []Gap) (total time.Duration) {
	until := make(map[string]time.Time)
	for _, g := range gaps {
		from := g.From
		if end := until[g.Subscription]; end.After(from) {
			from = end
		}
		if g.To.After(from) {
			total += g.To.Sub(from)
			until[g.Subscription] = g.To
		}
	}
	return total
}

// families are those of all events in the stream, which one request tells, and
// since when it holds messages.
func (s *Stream) families(ctx context.Context) ([]Family, time.Time, error) {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(s.all()))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("subjects of stream %s: %w", s.name, err)
	}
	events := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		name, ok := subjects.Event(s.prefix, subject)
		if !ok {
			name = strings.TrimPrefix(subject, s.prefix+".") // a cut name begins as it did
		}
		family, _, _ := strings.Cut(name, ".")
		if !strings.HasPrefix(subject, subjects.Control(s.prefix, "")) {
			events[family] += n
		}
	}
	all := []Family{}
	for _, family := range slices.Sorted(maps.Keys(events)) {
		all = append(all, Family{family, events[family]})
	}
	return all, info.State.FirstTime.UTC(), nil
}

// subscriptions are those that have a connection's state or a gap, by name.
func (s *Stream) subscriptions(ctx context.Context, bucket string, gaps []Gap) ([]string, error) {
	names := map[string]bool{}
	for _, g := range gaps {
		names[g.Subscription] = true
	}
	states := "$KV." + bucket + "-state.state."
	stream, err := s.js.Stream(ctx, "KV_"+bucket+"-state")
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("bucket %s-state: %w", bucket, err)
	}
	if err == nil {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(states+">"))
		if err != nil {
			return nil, fmt.Errorf("bucket %s-state: %w", bucket, err)
		}
		for subject := range info.State.Subjects {
			names[strings.TrimPrefix(subject, states)] = true
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(names))...), nil
}

func reread(d span, families []Family) Reread {
	r := Reread{From: d.from.Format(time.DateOnly), To: d.to.Format(time.DateOnly), Gaps: d.gaps, Requests: []Request{}, Nothing: []string{}}
	for _, f := range families {
		known := requests(f.Family, r.From, r.To)
		r.Requests = append(r.Requests, known...)
		if len(known) == 0 {
			r.Nothing = append(r.Nothing, f.Family)
		}
	}
	return r
}

// span is consecutive days, UTC, that gaps touch.
type span struct {
	from, to time.Time // the first and the last day
	gaps     int       // that begin in it
}

// longest is how many days one request of Zoom's may cover: a month.
const longest = 30

// days are the days that gaps, oldest first, touch, as few spans as Zoom allows.
func days(gaps []Gap) []span {
	const day = 24 * time.Hour
	var spans []span
	for _, g := range gaps {
		last := len(spans) - 1
		from, to := g.From.UTC().Truncate(day), g.To.UTC().Truncate(day)
		if last < 0 || from.After(spans[last].to.Add(day)) {
			spans = append(spans, span{from: from, to: from})
			last++
		}
		spans[last].gaps++
		for at := from; !at.After(to); at = at.Add(day) {
			if !at.After(spans[last].to) {
				continue
			}
			if at.Sub(spans[last].from) >= longest*day {
				spans = append(spans, span{from: at, to: at})
				last++
			}
			spans[last].to = at
		}
	}
	return spans
}

// seconds is a duration to the microsecond.
func seconds(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1e6 }
