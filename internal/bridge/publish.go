package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// handleFrame publishes the event in a frame, or the frame as malformed. Its error is a
// *notStoredError.
func (b *Bridge) handleFrame(ctx context.Context, f *zoom.Frame) error {
	if f.Err != nil {
		b.malformed.Add(1)
		b.cfg.Metrics.Malformed.Inc()
		b.malformedLog.Warn().Str("code", "event.malformed").AnErr("reason", f.Err).Int("bytes", f.Size).Msg("malformed frame")
		return b.publish(ctx, b.encoder.malformed(f), outbox.Times{Sent: f.Sent})
	}
	b.publishSem <- struct{}{}
	defer func() { <-b.publishSem }()
	msg, times := b.receiveEvent(f)
	return b.publishLocked(ctx, msg, times, f.Received)
}

// receiveEvent counts an event and makes its message. The caller holds publishSem.
func (b *Bridge) receiveEvent(f *zoom.Frame) (*nats.Msg, outbox.Times) {
	b.events.Add(1)
	b.lastEvent.Store(f.Received.UnixNano())
	received := b.cfg.Clock(f.Received)
	b.cfg.Metrics.Received.Inc()
	b.cfg.Metrics.Arrived(f.Happened, f.Sent, received)
	b.late.add(f.Happened, f.Sent, received)
	msg := b.encoder.event(f, b.seq+1)
	b.eventLog.Debug().Str("code", "event").Str("subject", msg.Subject).Str("id", msg.Header[nats.MsgIdHdr][0]).Int("bytes", len(msg.Data)).Msg("event received")
	return msg, outbox.Times{Happened: f.Happened, Sent: f.Sent, Received: received}
}

// publish hands a message to the outbox, unless one with the same id was handed over
// recently. It blocks while the outbox has no room. Its error is a *notStoredError.
func (b *Bridge) publish(ctx context.Context, msg *nats.Msg, times outbox.Times) error {
	b.publishSem <- struct{}{}
	defer func() { <-b.publishSem }()
	return b.publishLocked(ctx, msg, times, time.Now())
}

// publishLocked is publish for a caller that holds publishSem.
func (b *Bridge) publishLocked(ctx context.Context, msg *nats.Msg, times outbox.Times, now time.Time) error {
	if b.isRepeated(msg, now) {
		return nil
	}
	b.seq++
	b.encoder.setSeq(msg, b.seq)
	if err := b.line.Publish(ctx, msg, times); err != nil {
		return &notStoredError{msg.Subject, err}
	}
	return nil
}

// isRepeated reports whether a message was handed over recently, and counts it if so.
func (b *Bridge) isRepeated(msg *nats.Msg, now time.Time) bool {
	id := msg.Header[nats.MsgIdHdr][0]
	if !b.window.Seen(id, now) {
		return false
	}
	b.repeated.Add(1)
	b.cfg.Metrics.RepeatedLocal.Inc()
	b.cfg.Repeated(id, "local")
	return true
}

// freeWindow frees the memory of the window once hardly anything is published any more. The
// Bridge itself stays in memory to answer its successors.
func (b *Bridge) freeWindow() {
	b.publishSem <- struct{}{}
	defer func() { <-b.publishSem }()
	b.window = dedupe.NewWindow(0, 0) // it remembers nothing
}

// handleStored counts a message that is now in the stream, and records a gap marker as stored.
func (b *Bridge) handleStored(s outbox.Stored) {
	id := s.Msg.Header[nats.MsgIdHdr][0]
	if len(s.Msg.Header[message.HeaderEvent]) == 0 {
		if message.KindOf(b.cfg.Stream.Prefix, s.Msg.Subject) == message.KindGap {
			b.journal.noteMarkerStored(id)
		}
		return
	}
	if s.Duplicate && !s.Resent { // if resent, an acknowledgement was lost: not a repetition by Zoom
		b.cfg.Metrics.RepeatedStream.Inc()
		b.cfg.Repeated(id, "stream")
		return
	}
	b.cfg.Metrics.Published.Inc()
	times := s.Times
	if times.Received.IsZero() { // it came from the spool
		times.Received = message.ParseHeaders(s.Msg.Header).Received
		times.Happened = zoom.Happened(s.Msg.Data, times.Received)
	}
	if times.Received.IsZero() {
		return // the message is another program's
	}
	b.cfg.Metrics.Stored(times.Happened, times.Received, b.cfg.Clock(s.At))
}

// notStoredError means that the outbox had no room for a received frame until the end.
type notStoredError struct {
	subject string
	err     error
}

func (e *notStoredError) Error() string {
	return fmt.Sprintf("a frame received for %s is not stored: %v", e.subject, e.err)
}

func (e *notStoredError) Unwrap() error { return e.err }
