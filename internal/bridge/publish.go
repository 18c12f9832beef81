package bridge

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/message"
)

// publish hands a message over, waiting for room, unless it has done so before.
func (b *Bridge) publish(ctx context.Context, msg *nats.Msg, note outbox.Times) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	return b.inTurn(ctx, msg, note, time.Now())
}

// inTurn is publish for who holds turn.
func (b *Bridge) inTurn(ctx context.Context, msg *nats.Msg, note outbox.Times, now time.Time) error {
	if !b.place(msg, now) {
		return nil
	}
	if err := b.line.Publish(ctx, msg, note); err != nil {
		return &notStoredError{msg.Subject, err}
	}
	return nil
}

// place gives a message its place in the order of this epoch. It is false if the
// message was handed over before. The caller holds turn.
func (b *Bridge) place(msg *nats.Msg, now time.Time) bool {
	if id := msg.Header[nats.MsgIdHdr][0]; b.window.Seen(id, now) {
		b.repeated.Add(1)
		b.cfg.Metrics.RepeatedLocal.Inc()
		b.cfg.Repeated(id, "local")
		return false
	}
	b.seq++
	if len(msg.Header[message.HeaderSeq]) == 0 {
		b.stamp(msg, b.seq)
	}
	return true
}

// forget frees what is not needed to answer questions, when nothing is published
// any more.
func (b *Bridge) forget() {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.window = dedupe.NewWindow(0, 0) // who comes late remembers nothing
}
