package bridge

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/pipeline"
)

// publish hands a message over, waiting for room, unless it has done so before.
func (b *Bridge) publish(ctx context.Context, msg *nats.Msg, note pipeline.Note) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if id := msg.Header[nats.MsgIdHdr][0]; b.window.Seen(id, time.Now()) {
		b.repeated.Add(1)
		b.cfg.Meter.RepeatedLocal.Inc()
		b.repetition(id, "local")
		return nil
	}
	b.seq++
	b.stamp(msg, b.seq)
	if err := b.line.Publish(ctx, msg, note); err != nil {
		return &notStoredError{msg.Subject, err}
	}
	return nil
}

// forget frees what is not needed to answer questions, when nothing is published
// any more.
func (b *Bridge) forget() {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.window = nil
}

// tell publishes the markers of gaps.
func (b *Bridge) tell(ctx context.Context, gaps []Gap) {
	for _, gap := range gaps {
		b.publish(ctx, b.gapMessage(gap), pipeline.Note{}) //nolint:errcheck // it stays unstored in the state, for the next replica
	}
}
