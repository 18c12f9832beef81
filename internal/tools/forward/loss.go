package forward

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A limit of the stream, or a purge, may remove events before they are handed out. The consumer
// silently skips them and continues with the first message left. So what it skips is compared with
// the stream's first sequence.

const (
	lossTimeout = 2 * time.Second
	// maxPassed bounds the ranges compared in one check. With a filter, there may be one before
	// each message.
	maxPassed = 10_000
)

// span is a range of sequences in the stream, both ends included.
type span struct{ from, to uint64 }

// lossWatch detects events that the stream removed before they were handed out. It does not detect
// messages removed from the middle of the stream, one by one or by subject; nor a purge while no
// instance runs, because the server then moves the consumer's ack floor. What was handed out before
// its removal is delivered nevertheless, unless there is too much of it (see giveUpRemoved) or the
// process is killed.
type lossWatch struct {
	position uint64 // everything up to this sequence was handed out or accounted for
	passed   []span // ranges that were skipped: filtered out, or removed
}

// begin starts again from what the consumer knows to be delivered.
func (l *lossWatch) begin(info *jetstream.ConsumerInfo) {
	*l = lossWatch{position: info.AckFloor.Stream}
	if info.NumAckPending == 0 {
		l.position = max(l.position, info.Delivered.Stream)
	}
}

// handedOut records a message, and what the consumer skipped before it.
func (l *lossWatch) handedOut(sequence uint64) {
	if sequence <= l.position { // a redelivery
		return
	}
	if sequence > l.position+1 && len(l.passed) < maxPassed {
		l.passed = append(l.passed, span{l.position + 1, sequence - 1})
	}
	l.position = sequence
}

// removed returns the skipped messages that are no longer in the stream, whose first sequence is
// given.
func (l *lossWatch) removed(first uint64) (all []span) {
	for _, s := range l.passed {
		if s.from < first {
			all = append(all, span{s.from, min(s.to, first-1)})
		}
	}
	l.passed = nil
	if l.position+1 < first { // removed before the consumer reached them
		all = append(all, span{l.position + 1, first - 1})
		l.position = first - 1
	}
	return all
}

// checkLoss reports events that the stream has removed, unless another instance gets the messages
// and reports them.
func (w *window) checkLoss() {
	if !w.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(w.stopping, lossTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, w.Stream)
	if err != nil {
		return // left to the next check
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
	if consumer.NumPending == 0 { // everything in the stream was handed out or filtered out
		w.loss.position = max(w.loss.position, state.LastSeq)
	}
}

// giveUpRemoved bounds what is in flight. The server hands out more messages for those that the
// stream has removed, since it no longer counts them: while an endpoint is away for longer than
// max_age, everything new would be held in memory. Above the limit, the oldest removed messages are
// given up.
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

// reportAbandoned reports what is in flight at the end and cannot be handed back, since the stream
// has removed it.
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

// spans joins consecutive numbers into ranges.
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

// reportLoss logs every loss. If the consumer has a filter, nobody may know how many of the
// messages matched it.
func (f *forwarder) reportLoss(removed []span, filtered bool) {
	for _, s := range removed {
		f.progress.removed.Add(s.to - s.from + 1)
		f.Log.Error().Str("code", "forward.removed").Str("name", f.Name).Uint64("from_seq", s.from).Uint64("to_seq", s.to).Bool("filtered", filtered).
			Msg("the stream has removed messages before they could be delivered (max_age, another limit, or a purge); the events among them are lost to this endpoint")
	}
}
