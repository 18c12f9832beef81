package simulation

import (
	"slices"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// timeline is what Zoom and the stream know about one subscription.
type timeline struct {
	sub     string
	sockets []zoomsim.Socket // the replicas' sockets that were ready, in that order
	dark    []span           // times without a live socket of a replica, since the first one
	lost    []loss
	markers []marker
}

// loss is an event that Zoom sent and the stream does not have.
type loss struct {
	zoomsim.Entry
	why string
}

// marker is a gap as the stream reports it.
type marker struct {
	span
	message.Gap
	storedMessage
}

// timelines returns the timeline of each subscription.
func (v *evidence) timelines() (all []timeline) {
	for n := range v.subscriptions {
		l := timeline{sub: subscription(n)}
		for _, k := range v.ledger.Sockets {
			if k.Subscription == l.sub && v.owners[k.Remote] != nil && !k.Ready.IsZero() {
				l.sockets = append(l.sockets, k)
			}
		}
		slices.SortStableFunc(l.sockets, func(a, b zoomsim.Socket) int { return a.Ready.Compare(b.Ready) })
		l.dark = v.darkness(l.sockets)
		l.lost = v.losses(l)
		l.markers = v.markers(l.sub)
		all = append(all, l)
	}
	return all
}

func (v *evidence) darkness(sockets []zoomsim.Socket) (dark []span) {
	var lit time.Time
	for n, k := range sockets {
		if n > 0 && k.Ready.After(lit) {
			dark = append(dark, span{lit, k.Ready})
		}
		lit = later(lit, v.retired(k))
	}
	return dark
}

// retired returns when a socket stopped getting events: the end of the run if it never did.
func (v *evidence) retired(k zoomsim.Socket) time.Time {
	if k.Retired.IsZero() {
		return v.ending
	}
	return k.Retired
}

func (v *evidence) losses(l timeline) (lost []loss) {
	if len(l.sockets) == 0 {
		return nil
	}
	for _, e := range v.ledger.Entries {
		if e.Subscription != l.sub || e.Raw || v.isStored(e) || e.At.Before(l.sockets[0].Ready) {
			continue
		}
		if e.Outcome == zoomsim.Written {
			lost = append(lost, loss{e, v.mayMiss(e)})
		} else {
			lost = append(lost, loss{e, "nobody got it"})
		}
	}
	return lost
}

func (v *evidence) markers(sub string) (found []marker) {
	for _, m := range v.stored {
		if m.kind() != message.KindGap || m.subscription != sub {
			continue
		}
		g, err := message.ParseGap(m.data, m.at)
		if err != nil || g.Subscription != sub || g.Impossible || g.Cause == "" {
			v.blame("P5 marker", "message %d is no gap marker: %s", m.sequence, m.data)
			continue
		}
		found = append(found, marker{span{g.From, g.To}, g, m})
		v.journal.note("message %d: gap of %s from %s, %s, certain %v, after %s, by %s, epoch %d", m.sequence, sub,
			v.spanText(span{g.From, g.To}), g.Cause, g.Certain, g.PreviousReplica, g.Replica, g.Epoch)
	}
	return found
}

// leads reports whether a replica had the subscription's live socket.
func (l timeline) leads(r *replica, at time.Time) bool {
	for _, k := range l.sockets {
		if k.Remote == r.name && !k.Ready.After(at) && (k.Retired.IsZero() || !k.Retired.Before(at)) {
			return true
		}
	}
	return false
}

// next returns when the first socket after a time was ready; zero if none was.
func (l timeline) next(after time.Time) time.Time {
	for _, k := range l.sockets {
		if k.Ready.After(after) {
			return k.Ready
		}
	}
	return time.Time{}
}

// alone reports whether nothing but the step itself disturbed the run, from before its beginning
// until after it.
func (v *evidence) alone(step incident, before, after time.Duration) bool {
	from, to := step.from.Add(-before), step.from.Add(after)
	if from.Before(v.begin) || to.After(v.ending) {
		return false
	}
	for _, i := range v.incidents {
		if i.step.at != step.step.at && i.meets(from.Add(-recovery), to) {
			return false
		}
	}
	return true
}

// standby reports whether another replica was running around a time, and had been for at least 5 s.
func (v *evidence) standby(r string, at time.Time) bool {
	return slices.ContainsFunc(v.ran, func(o *replica) bool {
		return o.name != r && o.started.Before(at.Add(-5*time.Second)) && (o.stopped.IsZero() || o.stopped.After(at.Add(5*time.Second)))
	})
}

func (s span) length() time.Duration { return s.to.Sub(s.from) }

func (v *evidence) spanText(s span) string {
	return strings.Join([]string{v.clock(s.from), v.clock(s.to)}, " to ")
}
