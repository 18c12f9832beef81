package main

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// slack is how much later than one process another one may notice the same thing on a busy machine.
const slack = 250 * time.Millisecond

// storedEvent is a message in the stream.
type storedEvent struct {
	at           time.Time // when it was stored
	subscription string
	epoch, seq   uint64
	digest       zoomsim.Digest
	gap          *message.Gap // nil unless it is a marker
}

// evidence is what Zoom's ledger and the stream contain at the end of a test.
type evidence struct {
	t       *testing.T
	sockets map[string][]zoomsim.Socket // the sockets that were ready, in order, by subscription
	stored  []storedEvent               // in order
	gaps    []storedEvent               // the markers among them
	missing []zoomsim.Entry             // written to a socket, but not stored
	nobody  []zoomsim.Entry             // not written to any socket
}

// evidence joins the ledger and the stream. It fails the test unless each stored event is in the
// ledger, is stored once, and is in order within an epoch of its subscription.
func (f *fleet) evidence() *evidence {
	f.t.Helper()
	e := &evidence{t: f.t, sockets: make(map[string][]zoomsim.Socket), stored: readStream(f.t, f.js)}
	ledger := f.sim.Ledger()
	for _, s := range ledger.Sockets {
		if !s.Ready.IsZero() {
			e.sockets[s.Subscription] = append(e.sockets[s.Subscription], s)
		}
	}
	entries := make(map[zoomsim.Digest]zoomsim.Entry, len(ledger.Entries))
	for _, entry := range ledger.Entries {
		entries[entry.Digest] = entry
	}
	type term struct {
		subscription string
		epoch        uint64
	}
	times := make(map[zoomsim.Digest]int)
	last, lastEntry := make(map[term]uint64), make(map[term]int64)
	for _, s := range e.stored {
		of := term{s.subscription, s.epoch}
		if int64(s.seq)+f.late <= int64(last[of]) {
			e.t.Errorf("%s: number %d of epoch %d is stored after number %d", s.subscription, s.seq, s.epoch, last[of])
		}
		last[of] = max(last[of], s.seq)
		if s.gap != nil {
			e.gaps = append(e.gaps, s)
			continue
		}
		entry, known := entries[s.digest]
		times[s.digest]++
		if !known || entry.Subscription != s.subscription || times[s.digest] > 1 {
			e.t.Errorf("number %d of epoch %d: known %v, stored %d times", s.seq, s.epoch, known, times[s.digest])
		}
		if entry.N+f.late <= lastEntry[of] {
			e.t.Errorf("%s: event %d is stored after event %d", s.subscription, entry.N, lastEntry[of])
		}
		lastEntry[of] = max(lastEntry[of], entry.N)
	}
	for _, entry := range ledger.Entries {
		switch {
		case entry.Outcome != zoomsim.Written:
			e.nobody = append(e.nobody, entry)
		case times[entry.Digest] == 0:
			e.missing = append(e.missing, entry)
		}
	}
	return e
}

// readStream returns all messages of the stream.
func readStream(t *testing.T, js jetstream.JetStream) []storedEvent {
	t.Helper()
	var stream jetstream.Stream
	var consumer jetstream.Consumer
	var err error
	for deadline := time.Now().Add(30 * time.Second); ; { // a cluster may be electing a leader, which takes up to 9 s
		stream, err = js.Stream(t.Context(), "ZOOM")
		if err == nil {
			consumer, err = stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	var all []storedEvent
	count := int(stream.CachedInfo().State.Msgs)
	for read := 0; read < count; {
		batch, err := consumer.Fetch(min(count-read, 5000), jetstream.FetchMaxWait(20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		before := read
		for msg := range batch.Messages() {
			read++
			kind := message.KindOf("zoom", msg.Subject())
			if kind == message.KindAlarm && strings.Contains(string(msg.Data()), `"alarm":"spool`) {
				continue // NATS was away for long, or there is no disk
			}
			if kind != message.KindEvent && kind != message.KindGap {
				t.Errorf("%s: %s", msg.Subject(), msg.Data())
				continue
			}
			all = append(all, decodeStored(t, msg))
		}
		if batch.Error() != nil || read == before {
			t.Fatalf("%d of %d messages: %v", read, count, batch.Error())
		}
	}
	return all
}

func decodeStored(t *testing.T, msg jetstream.Msg) storedEvent {
	t.Helper()
	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	h := message.ParseHeaders(msg.Headers())
	s := storedEvent{at: meta.Timestamp, subscription: h.Subscription, epoch: h.Epoch, seq: h.Seq, digest: sha256.Sum256(msg.Data())}
	if s.epoch == 0 || s.seq == 0 {
		t.Errorf("%s: no epoch or number: %v", msg.Subject(), msg.Headers())
	}
	if message.KindOf("zoom", msg.Subject()) == message.KindGap {
		gap, err := message.ParseGap(msg.Data(), meta.Timestamp)
		if err != nil || gap.Impossible {
			t.Fatalf("%s: %v", msg.Data(), err)
		}
		s.gap = &gap
	}
	return s
}

// whole checks that nothing is lost and that there is no gap marker.
func (e *evidence) whole() {
	e.t.Helper()
	if len(e.nobody) > 0 || len(e.missing) > 0 || len(e.gaps) > 0 {
		e.t.Errorf("%d events found nobody, %d are not stored, %d gaps", len(e.nobody), len(e.missing), len(e.gaps))
	}
	for _, entry := range e.nobody {
		e.t.Logf("found nobody: %+v", entry.At)
	}
	for _, entry := range e.missing {
		e.t.Logf("not stored: %v, written to socket %d", entry.At, entry.Socket)
	}
	for _, s := range e.gaps {
		e.t.Logf("gap: %+v", *s.gap)
	}
	if e.t.Failed() {
		e.t.Logf("%+v", e.sockets)
	}
}

// hole is an interval in which a subscription had no socket.
type hole struct {
	subscription string
	from, to     time.Time
}

func (e *evidence) holes() (holes []hole) {
	for subscription, sockets := range e.sockets {
		for i, next := range sockets[1:] {
			before := sockets[i]
			if before.Cause != zoomsim.CauseDisplaced && before.Retired.Before(next.Ready) {
				holes = append(holes, hole{subscription, before.Retired, next.Ready})
			}
		}
	}
	slices.SortFunc(holes, func(a, b hole) int { return a.to.Compare(b.to) })
	return holes
}

// told checks that there were so many holes, that each has one marker of the given cause before the
// first event after it, and that nothing is lost elsewhere.
func (e *evidence) told(cause message.GapCause, holes int) {
	e.t.Helper()
	e.covered(holes, cause)
	for _, s := range e.gaps {
		if s.gap.Epoch != s.epoch || s.seq != 1 {
			e.t.Errorf("a marker is number %d of epoch %d: %+v", s.seq, s.epoch, *s.gap)
		}
	}
}

// covered checks that there were so many holes, that each has one marker of one of the given
// causes, and that nothing is lost elsewhere.
func (e *evidence) covered(holes int, causes ...message.GapCause) {
	e.t.Helper()
	all := e.holes()
	if len(all) != holes || len(e.gaps) != holes {
		e.t.Errorf("%d holes and %d markers, want %d", len(all), len(e.gaps), holes)
	}
	for _, s := range e.gaps {
		if !slices.Contains(causes, s.gap.Cause) || s.gap.Subscription != s.subscription || s.gap.PreviousReplica == "" ||
			s.gap.Milliseconds != s.gap.To.Sub(s.gap.From).Milliseconds() {
			e.t.Errorf("marker %+v, want cause %v", *s.gap, causes)
		}
	}
	e.match(all)
	for _, entry := range e.nobody {
		if !e.excused(entry, 0) {
			e.t.Errorf("the event of %v found nobody, and no marker tells of it", entry.At)
		}
	}
	for _, entry := range e.missing {
		if !e.excused(entry, slack) {
			e.t.Errorf("the event of %v, written to socket %d, is not stored, and no marker tells of it", entry.At, entry.Socket)
		}
	}
	if e.t.Failed() {
		for _, s := range e.gaps {
			e.t.Logf("marker, number %d of epoch %d: %+v", s.seq, s.epoch, *s.gap)
		}
		for _, h := range all {
			e.t.Logf("hole: %+v", h)
		}
	}
}

// match checks that each hole has its own marker, with the right times.
func (e *evidence) match(holes []hole) {
	e.t.Helper()
	markers := make(map[string][]*message.Gap)
	for _, s := range e.gaps {
		markers[s.subscription] = append(markers[s.subscription], s.gap)
	}
	for _, h := range holes {
		if len(markers[h.subscription]) == 0 {
			e.t.Errorf("no marker for the hole from %v to %v", h.from, h.to)
			continue
		}
		marker := markers[h.subscription][0]
		markers[h.subscription] = markers[h.subscription][1:]
		early, late := h.from.Sub(marker.From), marker.To.Sub(h.to)
		if !covers(marker, h.from, 0) || !covers(marker, h.to, 0) || early > 2*time.Second || late > time.Second {
			e.t.Errorf("a marker begins %v before its hole and ends %v after it: %+v", early, late, *marker)
		}
	}
}

// excused reports whether a marker covers an event's time, or a time up to before later.
func (e *evidence) excused(entry zoomsim.Entry, before time.Duration) bool {
	return slices.ContainsFunc(e.gaps, func(s storedEvent) bool {
		return s.subscription == entry.Subscription && covers(s.gap, entry.At, before)
	})
}

// covers allows for 50 ms by which one process may notice something later than another one.
func covers(g *message.Gap, at time.Time, before time.Duration) bool {
	const skew = 50 * time.Millisecond
	return !at.Before(g.From.Add(-skew-before)) && !at.After(g.To.Add(skew))
}

// spread returns the median and the greatest of durations.
func spread(all []time.Duration) (median, worst time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}
