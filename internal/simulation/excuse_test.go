package simulation

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	// flight bounds the time from Zoom's socket to the stream's acknowledgement when nothing is in
	// the way.
	flight = time.Second
	// recovery bounds the time from NATS's return until events that were held are stored. It
	// includes the client's pause before it connects, and the publisher's before it tries again.
	recovery = 10 * time.Second
)

// natsAway returns when a replica could not reach NATS, or had only just reached it again.
func (v *evidence) natsAway(r *replica) []span {
	return v.spans(r, recovery, set(faultNATSCut, faultNATSHole, faultSplit, faultNATSDown, faultEverywhere))
}

// zoomAway returns when Zoom could not reach a replica.
func (v *evidence) zoomAway(r *replica) []span {
	return v.spans(r, 0, set(faultZoomCut, faultZoomHole))
}

// spans returns when the given faults touched a replica, each extended by more at its end. Spans
// that meet are joined.
func (v *evidence) spans(r *replica, more time.Duration, faults map[fault]bool) (found []span) {
	for _, i := range v.incidents { // ordered by their beginnings
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

// hardEnd has the causes that leave no time for what is in flight when a socket ends.
var hardEnd = map[zoomsim.Cause]bool{
	zoomsim.CauseCut: true, zoomsim.CauseGone: true, zoomsim.CauseStalled: true, zoomsim.CauseOverflow: true, zoomsim.CauseStopped: true,
}

// untold is how long the events of a new connection may wait in the socket, until it is known what
// was before it.
const untold = 1500 * time.Millisecond

// mayMiss returns why an event that Zoom has written to a socket may be missing in the stream;
// empty if nothing excuses that.
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
	read := later(e.At, k.Ready.Add(untold)).Add(flight) // at the latest, without faults
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
		if i.to.Sub(later(i.from, k.Ready)) > heartbeat { // two heartbeats without an answer, the first perhaps before the fault
			return "its replica may have given the socket up"
		}
		read = later(read, i.to.Add(flight))
	}
	if r.dead && r.stopped.Before(read) {
		return "the replica died before it was stored or on disk"
	}
	return ""
}

// span is the time from one moment to another.
type span struct{ from, to time.Time }

// meets reports whether the span and another one have a moment in common.
func (s span) meets(from, to time.Time) bool { return !s.from.After(to) && !s.to.Before(from) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
