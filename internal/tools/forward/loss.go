package forward

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A limit of the stream, or a purge, may remove events before they were handed out. The
// consumer passes over them without a word: it goes on with the first message that is
// left. So what it passes over is compared with where the stream begins.

const (
	lossTimeout = 2 * time.Second
	// maxPassed bounds what is compared at once. With a filter, each message may have some before it.
	maxPassed = 10_000
)

// span are messages of the stream by number, both included.
type span struct{ from, to uint64 }

// lossWatch notices events that the stream removed before they were handed out. It does not notice
// messages removed from the stream's midst, one by one or by subject; nor a purge while no
// instance runs, since the server then moves the consumer's ack floor. What was handed out
// before it was removed is delivered all the same, unless that is more than fits (see
// giveUpRemoved), or the process is killed.
type lossWatch struct {
	position uint64 // up to this one all were handed out
	passed   []span // behind earlier positions, and not handed out: others than are asked for, or removed
}

// begin starts anew behind what the consumer knows to be delivered.
func (l *lossWatch) begin(info *jetstream.ConsumerInfo) {
	*l = lossWatch{position: info.AckFloor.Stream}
	if info.NumAckPending == 0 {
		l.position = max(l.position, info.Delivered.Stream)
	}
}

// handedOut notes a message, and what the consumer passed over before it.
func (l *lossWatch) handedOut(sequence uint64) {
	if sequence <= l.position { // again
		return
	}
	if sequence > l.position+1 && len(l.passed) < maxPassed {
		l.passed = append(l.passed, span{l.position + 1, sequence - 1})
	}
	l.position = sequence
}

// removed are those that were passed over and that the stream does not have any more, now that
// it begins with a message.
func (l *lossWatch) removed(first uint64) (all []span) {
	for _, s := range l.passed {
		if s.from < first {
			all = append(all, span{s.from, min(s.to, first-1)})
		}
	}
	l.passed = nil
	if l.position+1 < first { // before the consumer came to them
		all = append(all, span{l.position + 1, first - 1})
		l.position = first - 1
	}
	return all
}

// checkLoss tells of events that the stream has removed, unless another instance gets them
// and does.
func (w *window) checkLoss() {
	if !w.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(w.stopping, lossTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, w.Stream)
	if err != nil {
		return // the next check tells
	}
	consumer, err := w.consumer.Info(ctx)
	if err != nil {
		return
	}
	w.progress.pending.Store(consumer.NumPending)
	if pin := pinOf(consumer); pin != "" && pin != w.pin {
		w.loss.begin(consumer)
		return
	}
	state := stream.CachedInfo().State
	w.reportLoss(w.loss.removed(state.FirstSeq), len(w.Events) > 0)
	w.reportLoss(w.giveUpRemoved(state.FirstSeq), false)
	if consumer.NumPending == 0 { // what the stream held is handed out, or was not asked for
		w.loss.position = max(w.loss.position, state.LastSeq)
	}
}

// giveUpRemoved bounds what is in flight. The server does not count what the stream has removed, and
// hands out more: with an endpoint that is away for longer than max_age, all that comes would be
// held in memory. Then the oldest of those are given up.
func (w *window) giveUpRemoved(first uint64) []span {
	var given []uint64
	for _, sequence := range slices.Sorted(maps.Keys(w.inFlight)) {
		if len(w.inFlight) <= maxWindows*w.window() || sequence >= first {
			break
		}
		if d := w.inFlight[sequence]; !d.busy {
			w.remove(d)
			given = append(given, sequence)
		}
	}
	return spans(given)
}

// reportAbandoned tells of what is in flight at the end and cannot be handed back: the stream has
// removed it meanwhile.
func (w *window) reportAbandoned() {
	if len(w.inFlight) == 0 || !w.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.stopping), lossTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, w.Stream)
	if err != nil {
		return
	}
	first := stream.CachedInfo().State.FirstSeq
	gone := slices.DeleteFunc(slices.Sorted(maps.Keys(w.inFlight)), func(sequence uint64) bool { return sequence >= first })
	w.reportLoss(spans(gone), false)
}

// spans joins sorted numbers that follow each other.
func spans(sorted []uint64) (all []span) {
	for _, n := range sorted {
		if last := len(all) - 1; last >= 0 && all[last].to+1 == n {
			all[last].to = n
			continue
		}
		all = append(all, span{n, n})
	}
	return all
}

// reportLoss never leaves a loss silent. If the consumer has a filter, nobody may know how many of
// these messages were asked for.
func (f *forwarder) reportLoss(removed []span, filtered bool) {
	for _, s := range removed {
		f.progress.removed.Add(s.to - s.from + 1)
		f.Log.Error().Str("code", "forward.removed").Str("name", f.Name).Uint64("from_seq", s.from).Uint64("to_seq", s.to).Bool("filtered", filtered).
			Msg("the stream has removed messages before they could be delivered (max_age, another limit, or a purge); the events among them are lost to this endpoint")
	}
}
