package simulation

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

var harmless = set(faultStop, faultStepDown, faultGarbage, faultBurst)

// planned checks promise 3: with a standby, neither a stop nor a step down loses anything or leaves
// a gap. Nor do broken frames (promise 8) or bursts of events.
func (v *evidence) planned(l timeline) {
	const before, after = 20 * time.Second, 15 * time.Second
	for _, i := range v.incidents {
		if !harmless[i.fault] || !v.alone(i, before, after) || i.replica != "" && !v.standby(i.replica, i.from) {
			continue
		}
		v.judged["P3"]++
		window := span{i.from.Add(-flight), i.from.Add(after)}
		for _, d := range l.dark {
			if d.length() > 0 && window.meets(d.from, d.to) {
				v.blame("P3 planned", "%s has no socket from %s, around the %s of %s at %s", l.sub, v.spanText(d), i.fault, i.replica, v.clock(i.from))
			}
		}
		for _, e := range l.lost {
			if window.meets(e.At, e.At) {
				v.blame("P3 planned", "%s is lost (%s) around the %s of %s at %s", v.describe(e.Entry), e.why, i.fault, i.replica, v.clock(i.from))
			}
		}
		for _, m := range l.markers {
			if window.meets(m.from, m.to) {
				v.blame("P3 planned", "a gap marker of %s tells of %s (%s) around the %s of %s at %s", l.sub, v.spanText(m.span), m.Cause, i.fault, i.replica, v.clock(i.from))
			}
		}
	}
}

// outages checks promise 6: while NATS is away for all replicas, and after that, a subscription
// stays with its replica, whoever finds NATS first. No marker reports a gap.
func (v *evidence) outages(l timeline) {
	const (
		before, after = 20 * time.Second, 15 * time.Second
		reach         = heartbeat + flight // by how much the marker of a cut connection may begin before the cut
	)
	for _, i := range v.incidents {
		if i.fault != faultEverywhere && i.fault != faultNATSDown || !v.alone(i, before, i.length()+after+reach) {
			continue
		}
		v.judged["P6 outage"]++
		window := span{i.from, i.to.Add(after)}
		for n, k := range l.sockets {
			// A renewal displaces the replica's own connection.
			if by := l.displacer(n); by.Remote != k.Remote && window.meets(k.Retired, k.Retired) {
				v.blame("P6 outage", "the socket of %s for %s was displaced by %s at %s, though NATS was away for all from %s", k.Remote, l.sub, by.Remote, v.clock(k.Retired), v.spanText(i.span))
			}
		}
		for _, m := range l.markers {
			if window.meets(m.from, m.to) {
				v.blame("P6 outage", "a gap marker of %s tells of %s (%s), though only NATS was away, for all, from %s", l.sub, v.spanText(m.span), m.Cause, v.spanText(i.span))
			}
		}
	}
}

// takeovers checks promise 4: with a standby, a crash leaves a gap of at most a second, and the
// loss of a machine one of at most the lease's life and a second. Both bounds grow by the delay to
// Zoom.
func (v *evidence) takeovers(l timeline) {
	trips := 8 * v.zoomDelay // token and upgrade: there and back, each at twice the least delay
	for _, i := range v.incidents {
		bound := time.Second + trips
		switch i.fault {
		case faultVanish:
			bound += leaseTTL
		case faultCrash:
		default:
			continue
		}
		if !l.leads(v.owners[i.replica], i.from) || !v.alone(i, 20*time.Second, bound) || !v.standby(i.replica, i.from) {
			continue
		}
		v.judged["P4"]++
		next := l.next(i.from)
		if took := next.Sub(i.from); next.IsZero() || took > bound {
			v.blame("P4 takeover", "%s was connected %s after the %s of %s at %s, allowed is %s", l.sub, took, i.fault, i.replica, v.clock(i.from), bound)
		}
	}
}

// peace checks promise 6: replicas do not fight over a socket. It is no fight if dials that were
// held up on their way arrive together and displace one another.
func (v *evidence) peace(l timeline) {
	const most, within = 3, 5 * time.Second
	var times []time.Time
	for n, k := range l.sockets {
		if by := l.displacer(n); by.Remote != k.Remote && !v.belated(by) {
			times = append(times, k.Retired)
		}
	}
	for n, from := range times {
		count := 0
		for _, at := range times[n:] {
			if at.Sub(from) < within {
				count++
			}
		}
		if count > most+v.orders(from.Add(-within), from.Add(within)) {
			v.blame("P6 peace", "replicas displaced one another %d times within %s from %s on for %s", count, within, v.clock(from), l.sub)
			break
		}
	}
	if bound := 2*len(v.incidents) + len(v.ran); len(times) > bound {
		v.blame("P6 peace", "replicas displaced one another %d times for %s, after %d faults", len(times), l.sub, len(v.incidents))
	}
}

// displacer returns the socket that displaced socket n of the timeline, or socket n itself if none
// did.
func (l timeline) displacer(n int) zoomsim.Socket {
	k := l.sockets[n]
	if k.Cause != zoomsim.CauseDisplaced {
		return k
	}
	for _, other := range l.sockets[n+1:] {
		if other.Ready.Equal(k.Retired) {
			return other
		}
	}
	return k
}

// orders counts how often replicas were started, stopped or told to step down between two times.
// Each time, they hand over or share the subscriptions anew.
func (v *evidence) orders(from, to time.Time) (count int) {
	within := func(at time.Time) bool { return !at.Before(from) && !at.After(to) }
	for _, r := range v.ran {
		if within(r.started) {
			count++
		}
		if within(r.stopped) && !r.dead {
			count++
		}
	}
	for _, i := range v.incidents {
		if i.fault == faultStepDown && within(i.from) {
			count++
		}
	}
	return count
}

// epochs checks that epochs grow from one socket to the next, whichever replica has it.
func (v *evidence) epochs(l timeline) {
	epochs := make(map[int]uint64)
	for _, e := range v.ledger.Entries {
		if m, ok := v.byEvent[keyOf(e)]; ok && !e.Raw && e.Copy == 0 && epochs[e.Socket] == 0 {
			epochs[e.Socket] = m.epoch
		}
	}
	var last zoomsim.Socket
	for _, k := range l.sockets {
		switch {
		case epochs[k.N] == 0: // nothing stored
			continue
		case epochs[k.N] < epochs[last.N] && !v.belated(k):
			v.blame("P2 epoch", "of %s, socket %d of %s has epoch %d, and the later one %d of %s has %d", l.sub,
				last.N, last.Remote, epochs[last.N], k.N, k.Remote, epochs[k.N])
		}
		last = k
	}
}

// belated reports whether a socket may have been dialled long before it was ready, because the way
// to Zoom was blocked. Its term may have ended by then.
func (v *evidence) belated(k zoomsim.Socket) bool {
	for _, i := range v.spans(v.owners[k.Remote], 2*time.Second, set(faultZoomHole, faultZoomCut, faultFreeze)) {
		if i.meets(k.Ready, k.Ready) {
			return true
		}
	}
	return false
}
