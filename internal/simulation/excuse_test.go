package simulation

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	// flight is how long an event may be on its way from Zoom's socket to the
	// acknowledgement of the stream, when nothing is in the way.
	flight = time.Second
	// recovery is how long it may take after NATS is back until what was held
	// is stored: the client's pause before it connects, the publisher's before
	// it tries again.
	recovery = 10 * time.Second
)

// natsAway are the times in which a replica could not reach NATS, or just again.
func (v *evidence) natsAway(r *replica) []span {
	return v.spans(r, recovery, set(faultNATSCut, faultNATSHole, faultSplit, faultNATSDown, faultEverywhere))
}

// zoomAway are the times in which Zoom could not reach a replica.
func (v *evidence) zoomAway(r *replica) []span {
	return v.spans(r, 0, set(faultZoomCut, faultZoomHole))
}

// spans are when incidents of some faults touched a replica, and some time
// more. Those that touch one another are one.
func (v *evidence) spans(r *replica, more time.Duration, faults map[fault]bool) (found []span) {
	for _, i := range v.incidents { // in the order of their beginnings
		if !faults[i.fault] || i.replica != "" && i.replica != r.name {
			continue
		}
		next := span{i.from, i.to.Add(more)}
		if n := len(found); n > 0 && found[n-1].meets(next.from, next.to) {
			found[n-1].to = later(found[n-1].to, next.to)
			continue
		}
		found = append(found, next)
	}
	return found
}

// hardEnd are the ends of a socket that leave no time for what is in flight.
var hardEnd = map[zoomsim.Cause]bool{
	zoomsim.CauseCut: true, zoomsim.CauseGone: true, zoomsim.CauseStalled: true, zoomsim.CauseOverflow: true, zoomsim.CauseStopped: true,
}

// untold is how long the events of a new connection may wait in the socket, until it is
// known what was before it.
const untold = 1500 * time.Millisecond

// mayMiss says why an event that Zoom has written to a socket may be missing
// in the stream; it is empty if nothing excuses that.
func (v *evidence) mayMiss(e zoomsim.Entry) string {
	k := v.sockets[e.Socket]
	r := v.owners[k.Remote]
	if r == nil {
		return "it went to a stranger"
	}
	ended := k.Closed
	if ended.IsZero() {
		ended = time.Now()
	}
	read := later(e.At, k.Ready.Add(untold)).Add(flight) // at the latest, if all is well
	for _, i := range v.incidents {
		if i.fault != faultFreeze || i.sub != "" && i.sub != e.Subscription || !i.meets(e.At, read) {
			continue
		}
		if ended.Before(i.to.Add(flight)) {
			return "its socket was frozen to the end"
		}
		read = later(read, i.to.Add(flight))
	}
	if hardEnd[k.Cause] && k.Retired.Before(read) {
		return "its socket broke"
	}
	for _, i := range v.zoomAway(r) {
		if !i.meets(e.At, read) {
			continue
		}
		if ended.Before(i.to.Add(flight)) || !r.running() && r.stopped.Before(i.to) {
			return "its socket ended unheard"
		}
		if i.to.Sub(later(i.from, k.Ready)) > heartbeat { // two without an answer, the first perhaps before
			return "its replica may have given the socket up"
		}
		read = later(read, i.to.Add(flight))
	}
	if r.dead && r.stopped.Before(read) {
		return "the replica died before it was stored or on disk"
	}
	return ""
}

// span is a time from one moment to another.
type span struct{ from, to time.Time }

// meets reports whether the span has a moment in common with another one.
func (s span) meets(from, to time.Time) bool { return !s.from.After(to) && !s.to.Before(from) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
