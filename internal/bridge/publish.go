package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/pipeline"
)

const (
	// Messages are held until it is known what was before their connection,
	// and that is recorded, so that the marker of a gap comes before them. As
	// long as NATS is away they could not be stored anyway; but a bucket alone
	// that cannot be written must not hold up the events for longer than a
	// cluster takes to elect its leader.
	holdLongest  = 15 * time.Second
	holdMessages = 4096
	holdBytes    = 32 << 20
)

// held are the messages after a connection was opened.
type held struct {
	since    time.Time // zero: nothing is held
	until    uint64    // this many of the term's connections are recorded
	messages []outgoing
	bytes    int
	released chan struct{} // closed when they are
}

// outgoing is a message on its way.
type outgoing struct {
	msg  *nats.Msg
	note pipeline.Note
}

// publish hands a message over, waiting for room, unless it has done so before.
func (b *Bridge) publish(ctx context.Context, msg *nats.Msg, note pipeline.Note) error {
	for {
		b.turn <- struct{}{}
		wait := b.held.released
		if b.held.since.IsZero() || len(b.held.messages) < holdMessages && b.held.bytes+len(msg.Data) <= holdBytes {
			break
		}
		<-b.turn
		select {
		case <-wait:
		case <-ctx.Done():
			return &notStoredError{msg.Subject, context.Cause(ctx)}
		}
	}
	defer func() { <-b.turn }()
	if id := msg.Header[nats.MsgIdHdr][0]; b.window.Seen(id, time.Now()) {
		b.repeated.Add(1)
		b.cfg.Meter.RepeatedLocal.Inc()
		b.repetition(id, "local")
		return nil
	}
	out := outgoing{msg, note}
	if !b.held.since.IsZero() {
		b.line.Keep(b.copyOf(msg))
		b.hold(out)
		return nil
	}
	return b.send(ctx, out)
}

// copyOf is the message as it would be published if this process died now. Its
// place in the order is as if no marker came before it.
func (b *Bridge) copyOf(msg *nats.Msg) *nats.Msg {
	c := &nats.Msg{Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: msg.Data}
	b.stamp(c, b.seq+uint64(len(b.held.messages))+1)
	return c
}

func (b *Bridge) hold(out outgoing) {
	h := &b.held
	if b.holding.Add(1) == 1 {
		b.holdingSince.Store(earlier(time.Now(), out.note.Sent).UnixNano())
	}
	h.messages = append(h.messages, out)
	h.bytes += len(out.msg.Data)
}

// send expects the caller to have the turn.
func (b *Bridge) send(ctx context.Context, out outgoing) error {
	b.seq++
	b.stamp(out.msg, b.seq)
	if err := b.line.Publish(ctx, out.msg, out.note); err != nil {
		return &notStoredError{out.msg.Subject, err}
	}
	return nil
}

// arrived is told that a connection is ready, before it is read.
func (b *Bridge) arrived(ready time.Time) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.held.since.IsZero() {
		b.held = held{since: time.Now(), released: make(chan struct{})}
	}
	for _, gap := range b.journal.opened(ready) {
		b.hold(outgoing{msg: b.gapMessage(gap)})
	}
	b.held.until = b.journal.opens.Load()
}

// release sends on what is held, after the markers of the gaps before it. If too
// few connections are recorded, it goes on holding, but not too long.
func (b *Bridge) release(ctx context.Context, before []Gap, recorded uint64) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	for _, gap := range before {
		b.send(ctx, outgoing{msg: b.gapMessage(gap)}) //nolint:errcheck // it stays unstored in the state, for the next replica
	}
	if b.held.since.IsZero() || recorded < b.held.until && time.Since(b.held.since) < holdLongest {
		return nil
	}
	if recorded < b.held.until {
		b.cfg.Log.Error().Str("code", "state.unwritten").Msg("the state of the connection cannot be recorded in its bucket (is it sealed or full, is a right missing?); events go on without, and a gap marker may come after them")
	}
	for i, out := range b.held.messages {
		if b.toldOf(out.msg) {
			continue
		}
		if err := b.send(ctx, out); err != nil {
			b.held.messages = b.held.messages[i:]
			b.holding.Store(int64(len(b.held.messages)))
			return fmt.Errorf("%d received messages are not stored: %w", len(b.held.messages), err)
		}
	}
	b.holding.Store(0)
	b.holdingSince.Store(0)
	close(b.held.released)
	b.held = held{}
	b.line.Release()
	return nil
}

// forget frees what is not needed to answer questions, when nothing is published
// any more.
func (b *Bridge) forget() {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.window = nil
}

// toldOf reports whether a message is the marker of a gap that a later term has
// told of, which took this replica for dead while it was cut off.
func (b *Bridge) toldOf(msg *nats.Msg) bool {
	var gap Gap
	return msg.Subject == b.cfg.Prefix+subjectGap && json.Unmarshal(msg.Data, &gap) == nil && b.journal.told(gap)
}

// tell publishes the markers of gaps.
func (b *Bridge) tell(ctx context.Context, gaps []Gap) {
	for _, gap := range gaps {
		b.publish(ctx, b.gapMessage(gap), pipeline.Note{}) //nolint:errcheck // it stays unstored in the state, for the next replica
	}
}
