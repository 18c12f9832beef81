package bridge

import (
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// stored is told of each message in the stream.
func (b *Bridge) stored(s outbox.Stored) {
	id := s.Msg.Header[nats.MsgIdHdr][0]
	isEvent := len(s.Msg.Header[message.HeaderEvent]) > 0
	switch {
	case !isEvent:
	case !s.Duplicate || s.Resent: // else an acknowledgement was lost
		b.cfg.Metrics.Published.Inc()
	default:
		b.cfg.Metrics.RepeatedStream.Inc()
		b.cfg.Repeated(id, "stream")
	}
	if !isEvent && message.KindOf(b.cfg.Stream.Prefix, s.Msg.Subject) == message.KindGap {
		b.journal.noteMarkerStored(id)
	}
	if !isEvent || s.Duplicate && !s.Resent {
		return
	}
	note := s.Times
	if note.Received.IsZero() { // it came over the disk
		note.Received = message.ParseHeaders(s.Msg.Header).Received
		note.Happened = zoom.Happened(s.Msg.Data, note.Received)
	}
	if note.Received.IsZero() {
		return // not by this program
	}
	b.cfg.Metrics.Stored(note.Happened, note.Received, b.cfg.Clock(s.At))
}
