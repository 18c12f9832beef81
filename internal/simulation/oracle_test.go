package simulation

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// check checks the promises against the evidence, and returns what is broken.
func (v *evidence) check() []string {
	v.endings()
	v.once()
	v.complete()
	v.ordered()
	v.numbered()
	v.secrets()
	v.alternate()
	for _, l := range v.timelines() {
		v.epochs(l)
		v.planned(l)
		v.outages(l)
		v.takeovers(l)
		v.gaps(l)
		v.peace(l)
	}
	v.journal.note("judged: %v", v.judged)
	return v.problems
}

// endings checks that a replica ends only when it is told to, and without an error.
func (v *evidence) endings() {
	const patience = 15 * time.Second
	for _, r := range v.ran {
		if r.dead {
			continue
		}
		if r.stopped.IsZero() || r.ended.Before(r.stopped) {
			v.blame("End", "%s ended by itself at %s: %v", r.name, v.clock(r.ended), r.err)
			continue
		}
		if took := r.ended.Sub(r.stopped); took > patience {
			v.blame("End", "%s took %s to end", r.name, took)
		}
		if r.err == nil {
			continue
		}
		cut := false
		for _, i := range v.natsAway(r) {
			cut = cut || i.meets(r.stopped, r.ended)
		}
		if !cut {
			v.blame("End", "%s, stopped at %s, ended with an error: %v", r.name, v.clock(r.stopped), r.err)
		}
	}
}

// once checks part of promise 2: every message is one of Zoom's events, on its subject, with its
// bytes unchanged, and stored once.
func (v *evidence) once() {
	emitted := make(map[eventKey]zoomsim.Entry)
	for _, e := range v.ledger.Entries {
		if _, known := emitted[keyOf(e)]; !known && !e.Raw {
			emitted[keyOf(e)] = e
		}
	}
	for _, m := range v.stored {
		if m.kind() != message.KindEvent {
			continue
		}
		e, ok := emitted[m.key()]
		if !ok {
			v.blame("P2 bytes", "message %d on %s is no event of Zoom's: %.200q", m.sequence, m.subject, m.data)
			continue
		}
		if want := subjects.Subject(prefix, e.Event); m.subject != want || m.subscription != e.Subscription {
			v.blame("P2 subject", "message %d of %s is on %s, want %s of %s", m.sequence, m.subscription, m.subject, want, e.Subscription)
		}
		if first, twice := v.byEvent[m.key()]; twice {
			v.blame("P2 once", "%s is stored twice: message %d, %s, and %d, %s", v.describe(e),
				first.sequence, first.header, m.sequence, m.header)
		}
		v.byEvent[m.key()] = m
	}
}

// complete checks promise 1: every event that reached a replica is in the stream.
func (v *evidence) complete() {
	for _, e := range v.ledger.Entries {
		if e.Raw || e.Outcome != zoomsim.Written || v.isStored(e) || v.mayMiss(e) != "" {
			continue
		}
		v.blame("P1 complete", "%s is not stored", v.describe(e))
	}
}

func (v *evidence) isStored(e zoomsim.Entry) bool {
	_, ok := v.byEvent[keyOf(e)]
	return ok
}

// ordered checks part of promise 2: the events of one socket are stored in the order in which Zoom
// sent them.
func (v *evidence) ordered() {
	type place struct {
		socket int
		epoch  uint64
	}
	last := make(map[place]zoomsim.Entry)
	sequence := make(map[place]uint64)
	seen := make(map[eventKey]bool)
	for _, e := range v.ledger.Entries {
		m, ok := v.byEvent[keyOf(e)]
		if !ok || e.Raw || seen[keyOf(e)] {
			continue
		}
		seen[keyOf(e)] = true
		p := place{e.Socket, m.epoch}
		if m.sequence < sequence[p] {
			v.blame("P2 order", "%s is stored as %d, before event %d as %d", v.describe(e), m.sequence, last[p].N, sequence[p])
		}
		last[p], sequence[p] = e, m.sequence
	}
}

// numbered checks that no pair of epoch and number occurs twice in a subscription.
func (v *evidence) numbered() {
	type number struct{ subscription, epoch, seq string }
	seen := make(map[number]uint64)
	for _, m := range v.stored {
		n := number{m.subscription, m.header.Get(message.HeaderEpoch), m.header.Get(message.HeaderSeq)}
		if n.epoch == "" {
			continue
		}
		if first, twice := seen[n]; twice {
			v.blame("P2 number", "messages %d and %d of %s are both number %s of epoch %s", first, m.sequence, n.subscription, n.seq, n.epoch)
		}
		seen[n] = m.sequence
	}
}

// secrets checks promise 7: no secret is in a log, the stream or a bucket.
func (v *evidence) secrets() {
	look := func(where, text string) {
		for _, secret := range []string{"must-not-leak", "eyJzdiI6"} {
			if strings.Contains(text, secret) {
				v.blame("P7 secret", "%q is in %s: %.300s", secret, where, text)
			}
		}
	}
	for _, l := range v.journal.lines {
		look("the log of "+l.who, l.text)
	}
	for _, text := range v.others {
		look("a bucket", text)
	}
	for _, m := range v.stored {
		if bytes.Contains(m.data, []byte("must-not-leak")) || strings.Contains(fmt.Sprint(m.header), "must-not-leak") {
			v.blame("P7 secret", "message %d on %s has one", m.sequence, m.subject)
		}
	}
}
