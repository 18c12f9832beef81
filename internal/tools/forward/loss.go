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
// makeRoom), or the process is killed.
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

// abandon notes a message that was given up, as the stream does not have it any more.
func (l *lossWatch) abandon(sequence uint64) {
	if last := len(l.passed) - 1; last >= 0 && l.passed[last].to+1 == sequence {
		l.passed[last].to = sequence
		return
	}
	l.passed = append(l.passed, span{sequence, sequence})
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
	if consumer.NumPending == 0 { // what the stream held is handed out, or was not asked for
		w.loss.position = max(w.loss.position, state.LastSeq)
	}
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
	var lost []span
	for _, sequence := range slices.Sorted(maps.Keys(w.inFlight)) {
		switch last := len(lost) - 1; {
		case sequence >= stream.CachedInfo().State.FirstSeq:
		case last >= 0 && lost[last].to+1 == sequence:
			lost[last].to = sequence
		default:
			lost = append(lost, span{sequence, sequence})
		}
	}
	w.reportLoss(lost, false)
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
