package simulation

import (
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// gaps checks promise 5: the stream reports every time without a connection and every loss, once,
// before the first event after it, and nothing else.
func (v *evidence) gaps(l timeline) {
	v.told(l)
	v.toldInTime(l)
	v.toldOnce(l)
	v.toldTruly(l)
}

// slack is by how much a marker may be off: for what is in flight, for the clocks of two machines,
// and for as long as Zoom keeps a displaced socket open, which still looks live to its replica.
func (v *evidence) slack() time.Duration { return flight + 2*v.skew + v.linger }

func (v *evidence) told(l timeline) {
	const blink = 10 * time.Millisecond
	for _, d := range l.dark {
		if d.length() < blink {
			continue
		}
		v.judged["P5"]++
		if rest, ok := l.covered(d, v.slack()); !ok && !v.unnoticed(l, rest) {
			v.blame("P5 silent gap", "%s had no socket from %s, and no marker tells of %s", l.sub, v.spanText(d), v.spanText(rest))
		}
	}
	for _, e := range l.lost {
		if _, ok := l.covered(span{e.At, e.At}, v.slack()); !ok && !v.unnoticed(l, span{e.At, e.At}) {
			v.blame("P5 silent loss", "%s is lost (%s), and no marker tells of it", v.describe(e.Entry), e.why)
		}
	}
}

// unnoticed reports whether the socket had gone silent and its replica could not know that yet: it
// takes two heartbeats to notice. If the replica ends within that time, nobody ever learns of it.
func (v *evidence) unnoticed(l timeline, s span) bool {
	const notice = 2*heartbeat + flight
	for _, i := range v.incidents {
		// Until Zoom closes a displaced socket, it looks live to its replica. A stranger that
		// connects while the successor dials looks like the successor. Both may come together.
		const moment = 250 * time.Millisecond
		stranger := (i.fault == faultStranger || i.fault == faultFlapping) && i.sub == l.sub
		if stranger && s.length() < v.linger+moment && i.meets(s.from, s.to) {
			return true
		}
		if i.fault != faultZoomHole && (i.fault != faultFreeze || i.sub != "" && i.sub != l.sub) {
			continue
		}
		for _, k := range l.sockets {
			silent := span{later(i.from, k.Ready), i.to}
			mine := i.replica == "" || i.replica == k.Remote
			if mine && silent.meets(k.Ready, k.Closed) && silent.meets(s.from.Add(-notice), s.to.Add(flight)) {
				v.judged["P5 unnoticed"]++
				return true
			}
		}
	}
	return false
}

// covered reports whether markers cover a span. If not, it returns what is left of it.
func (l timeline) covered(s span, slack time.Duration) (rest span, ok bool) {
	for again := true; again; {
		again = false
		for _, m := range l.markers {
			from, to := m.from.Add(-slack), m.to.Add(slack)
			if from.After(s.from) || to.Before(s.from) {
				continue
			}
			if !to.Before(s.to) {
				return span{}, true
			}
			if to.After(s.from) {
				s.from, again = to, true
			}
		}
	}
	return s, false
}

// toldInTime checks that a marker is stored before the first event that its replica received after
// the gap. It excuses a marker if the gap could not be known for some time: because of NATS, or
// because an earlier replica still trusted a dead connection.
func (v *evidence) toldInTime(l timeline) {
	for _, m := range l.markers {
		if !m.Certain && m.Cause == message.GapDisconnected && (v.unnoticed(l, m.span) || !v.disturbed(l, m.from, m.to)) {
			continue // in the second case nothing was lost
		}
		for _, e := range v.stored {
			if e.sequence > m.sequence {
				break
			}
			if e.kind() == message.KindEvent && e.subscription == l.sub && e.epoch == m.Epoch && e.received.After(m.to.Add(2*v.skew)) && !v.natsTrouble(m.to) {
				v.blame("P5 late marker", "message %d tells of a gap of %s from %s, after message %d, received at %s", m.sequence, l.sub, v.spanText(m.span), e.sequence, v.clock(e.received))
				break
			}
		}
	}
}

// natsTrouble reports whether, around a time, any replica could not reach NATS or had only just
// reached it again.
func (v *evidence) natsTrouble(at time.Time) bool {
	trouble := set(faultNATSCut, faultNATSHole, faultSplit, faultNATSDown, faultEverywhere)
	for _, i := range v.incidents {
		if trouble[i.fault] && i.meets(at.Add(-recovery), at.Add(recovery)) {
			return true
		}
	}
	return false
}

func (v *evidence) toldOnce(l timeline) {
	for n, a := range l.markers {
		for _, b := range l.markers[n+1:] {
			if !a.Certain || !b.Certain {
				continue
			}
			common := span{later(a.from, b.from), a.to}
			if b.to.Before(common.to) {
				common.to = b.to
			}
			if common.length() > v.slack() {
				v.blame("P5 twice", "two markers of %s tell of %s: message %d (%s) of %s, and %d (%s) of %s", l.sub, v.spanText(common),
					a.sequence, v.spanText(a.span), a.Replica, b.sequence, v.spanText(b.span), b.Replica)
			}
		}
	}
}

// toldTruly checks that each certain marker covers a time in which Zoom had no socket, or in which
// events did not arrive.
func (v *evidence) toldTruly(l timeline) {
	for _, m := range l.markers {
		if m.length() == 0 && v.skew == 0 && m.Cause == message.GapCrash { // otherwise different clocks, or the way to Zoom, may hide the gap
			v.blame("P5 empty", "message %d tells of a gap of %s of no length at %s (%s)", m.sequence, l.sub, v.clock(m.from), m.Cause)
		}
		if !m.Certain || v.disturbed(l, m.from.Add(-v.slack()), m.to.Add(v.slack())) {
			continue
		}
		v.blame("P5 untrue", "message %d tells of a gap of %s from %s (%s), and there was none", m.sequence, l.sub, v.spanText(m.span), m.Cause)
	}
}

func (v *evidence) disturbed(l timeline, from, to time.Time) bool {
	for _, d := range l.dark {
		if d.meets(from, to) {
			return true
		}
	}
	for _, e := range l.lost {
		if !e.At.Before(from) && !e.At.After(to) {
			return true
		}
	}
	silent := set(faultZoomHole, faultFreeze, faultVanish)
	for _, i := range v.incidents {
		if silent[i.fault] && i.meets(from.Add(-2*time.Minute), to) {
			return true
		}
	}
	return false
}
