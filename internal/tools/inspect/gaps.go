package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// Gap is an interval in which no connection of a subscription was live.
type Gap struct {
	Subscription string    `json:"subscription"`
	From         time.Time `json:"from"`
	To           time.Time `json:"to"`
	Duration     float64   `json:"duration_s"`
	Cause        string    `json:"cause"`
	Detail       string    `json:"detail,omitempty"`
	Certain      bool      `json:"certain"`
	// Impossible says that the marker's times are impossible: From and To are the closest possible
	// ones.
	Impossible      bool      `json:"impossible,omitempty"`
	PreviousReplica string    `json:"previous_replica"`
	Replica         string    `json:"replica"`
	Epoch           uint64    `json:"epoch"`
	ID              string    `json:"id"`
	Sequence        uint64    `json:"stream_seq"` // of the marker
	Stored          time.Time `json:"stored_at"`
}

// Family is a group of events whose names have the same first part, such as meeting.started and
// meeting.ended.
type Family struct {
	Family string `json:"family"`
	Events uint64 `json:"events"` // number in the stream
}

// GapReport lists the gaps since a time, and what to read again from Zoom's API.
type GapReport struct {
	Stream       string    `json:"stream"`
	Since        time.Time `json:"since"`
	Holds        time.Time `json:"stream_from,omitzero"`   // time of the stream's oldest message
	Subscription string    `json:"subscription,omitempty"` // as requested; empty: all

	Gaps  []Gap   `json:"gaps"`            // oldest first; if there are too many, those with the latest markers
	Older int     `json:"older,omitempty"` // gaps with older markers, which are left out everywhere here
	Count int     `json:"count"`
	Total float64 `json:"total_s"` // overlapping gaps of one subscription count once

	Families     []Family `json:"families"`                // families of the events in the stream, by name
	MoreFamilies int      `json:"more_families,omitempty"` // families left out; none of them has a known event
	// Sharing are the subscriptions known to publish to the stream. If there are several, it is
	// unknown which families belong to which.
	Sharing []string `json:"subscriptions"`
	Reread  []Reread `json:"reread"` // oldest first; if there are too many, the latest
}

// Whoever may publish can forge markers and names of events, so their numbers and sizes are
// limited, also to what a person can read.
const (
	// clockSkew is how far the end of a gap, by a replica's clock, may be ahead of the server's
	// clock.
	clockSkew = time.Minute

	maxGaps     = 10_000 // gaps kept
	maxText     = 200    // bytes of a text in a marker, or of a subscription's name
	maxFamily   = 64     // bytes of a family's name
	maxFamilies = 50     // families that Zoom is not known to have
	maxSharing  = 1000   // subscriptions
	maxReread   = 12     // periods to read again
)

// earliest is before any gap. Earlier times may have no JSON form in some zones.
var earliest = time.Unix(0, 0)

// Gaps returns the gaps that ended since a time, of one subscription or of all, oldest first. If
// there are too many, those with older markers are left out and counted in older.
func (s *Stream) Gaps(ctx context.Context, since time.Time, subscription string) (gaps []Gap, older int, err error) {
	state, err := s.state(ctx)
	if err != nil {
		return nil, 0, err
	}
	gaps = []Gap{}
	known := map[string]bool{} // ids seen: a marker may be stored again after the duplicate window
	l := look{subject: message.KindGap.Subject(s.prefix), since: later(since, earliest).Add(-clockSkew), last: state.LastSeq}
	_, err = s.scan(ctx, l, func(m *Message) bool {
		g, ok := gapOf(m)
		if !ok || g.To.Before(since) || subscription != "" && g.Subscription != subscription || known[g.ID] {
			return true
		}
		known[g.ID] = g.ID != ""
		if gaps = append(gaps, g); len(gaps) >= 2*maxGaps {
			older += maxGaps
			for _, g := range gaps[:maxGaps] {
				delete(known, g.ID)
			}
			gaps = append(gaps[:0], gaps[maxGaps:]...)
		}
		return true
	})
	if surplus := len(gaps) - maxGaps; surplus > 0 {
		older, gaps = older+surplus, gaps[surplus:]
	}
	slices.SortStableFunc(gaps, func(a, b Gap) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	return gaps, older, err
}

// gapOf returns the gap of a marker; false if the message is none.
func gapOf(m *Message) (Gap, bool) {
	g, err := message.ParseGap(m.Body, m.Stored)
	return Gap{
		Subscription: message.Short(g.Subscription, maxText), From: g.From, To: g.To, Duration: seconds(g.Lasted()),
		Cause: message.Short(string(g.Cause), maxText), Detail: message.Short(g.Detail, maxText), Certain: g.Certain, Impossible: g.Impossible,
		PreviousReplica: message.Short(g.PreviousReplica, maxText), Replica: message.Short(g.Replica, maxText),
		Epoch: g.Epoch, ID: message.Short(g.ID, maxText), Sequence: m.Sequence, Stored: m.Stored.UTC(),
	}, err == nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// UnknownSubscriptionError says that NATS has nothing about a subscription.
type UnknownSubscriptionError struct {
	Subscription string
	Known        []string // subscriptions that have a lease, a state or a gap
}

func (e *UnknownSubscriptionError) Error() string {
	const shown = 10
	known := "no subscription is known here yet; check ZOOMSTREAM_BUCKET and ZOOMSTREAM_STREAM"
	if n := len(e.Known); n > 0 {
		known = "known are " + status.Visible(strings.Join(e.Known[:min(n, shown)], ", "))
		if n > shown {
			known += fmt.Sprintf(" and %d more", n-shown)
		}
	}
	return fmt.Sprintf("there is no subscription %s: it has no lease, no state and no gap; %s", status.Visible(e.Subscription), known)
}

// GapReport reports the gaps that ended since a time, of one subscription or of all. bucket is that
// of the leases. For a subscription of which nothing is known, the error is an
// [*UnknownSubscriptionError].
func (s *Stream) GapReport(ctx context.Context, since time.Time, subscription, bucket string) (*GapReport, error) {
	r := &GapReport{Stream: s.name, Since: later(since, earliest).UTC(), Subscription: subscription, Reread: []Reread{}}
	var err error
	if r.Gaps, r.Older, err = s.Gaps(ctx, since, subscription); err != nil {
		return nil, err
	}
	if r.Sharing, err = s.subscriptions(ctx, bucket, r.Gaps); err != nil {
		return nil, err
	}
	if subscription != "" && !slices.Contains(r.Sharing, subscription) {
		if r.Sharing, err = s.known(ctx, subscription, bucket); err != nil {
			return nil, err
		}
	}
	r.Sharing = r.Sharing[:min(len(r.Sharing), maxSharing)]
	if r.Families, r.MoreFamilies, r.Holds, err = s.families(ctx); err != nil {
		return nil, err
	}
	r.Count, r.Total = len(r.Gaps), seconds(covered(r.Gaps))
	for _, d := range days(r.Gaps) {
		r.Reread = append(r.Reread, reread(d, r.Families))
	}
	return r, nil
}

// known returns the subscriptions that have a lease, a state or a gap at any time. It is an error
// if the given one is not among them.
func (s *Stream) known(ctx context.Context, subscription, bucket string) ([]string, error) {
	gaps, _, err := s.Gaps(ctx, earliest, "")
	if err != nil {
		return nil, err
	}
	known, err := s.subscriptions(ctx, bucket, gaps)
	if err == nil && !slices.Contains(known, subscription) {
		err = &UnknownSubscriptionError{Subscription: subscription, Known: known}
	}
	return known, err
}

// covered returns the total length of gaps, which are oldest first. Time in overlapping gaps of one
// subscription counts once.
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

// families returns the families of all events in the stream, from a single request, and the time of
// the oldest message. The number of families that Zoom is not known to have is unlimited: those
// with the most events are kept.
func (s *Stream) families(ctx context.Context) (all []Family, more int, holds time.Time, err error) {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(s.all()))
	if err != nil {
		return nil, 0, time.Time{}, fmt.Errorf("subjects of stream %s: %w", s.name, err)
	}
	events := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		if message.KindOf(s.prefix, subject) == message.KindEvent {
			events[message.Short(s.family(subject), maxFamily)] += n
		}
	}
	all = []Family{}
	var strange []Family
	for family, n := range events {
		if _, known := restLists[family]; known {
			all = append(all, Family{family, n})
		} else {
			strange = append(strange, Family{family, n})
		}
	}
	slices.SortFunc(strange, func(a, b Family) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.Family, b.Family))
	})
	kept := min(len(strange), maxFamilies)
	all = append(all, strange[:kept]...)
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Family, b.Family) })
	return all, len(strange) - kept, info.State.FirstTime.UTC(), nil
}

// family returns the first part of an event's name, from its subject. It uses the first token only,
// since the others may be keys, from any setting.
func (s *Stream) family(subject string) string {
	token, _, _ := strings.Cut(strings.TrimPrefix(subject, s.prefix+"."), ".")
	name, ok := subjects.Event(s.prefix, s.prefix+"."+token)
	if !ok {
		return token // a shortened name keeps its beginning
	}
	family, _, _ := strings.Cut(name, ".")
	return family
}

// subscriptions returns those that have a lease, a state or a gap, by name.
func (s *Stream) subscriptions(ctx context.Context, bucket string, gaps []Gap) ([]string, error) {
	names := map[string]bool{}
	for _, g := range gaps {
		names[g.Subscription] = true
	}
	for _, keys := range [][2]string{{bucket, record.LeasePrefix}, {record.StateBucket(bucket), record.StatePrefix}} {
		begin := "$KV." + keys[0] + "." + keys[1]
		stream, err := s.js.Stream(ctx, "KV_"+keys[0])
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", keys[0], err)
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(begin+">"))
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", keys[0], err)
		}
		for subject := range info.State.Subjects {
			names[message.Short(strings.TrimPrefix(subject, begin), maxText)] = true
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(names))...), nil
}

// seconds rounds a duration to the microsecond.
func seconds(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1e6 }
