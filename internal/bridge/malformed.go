package bridge

import (
	"errors"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/subjects"
)

// The headers of a malformed frame.
const (
	headerReason     = "Zoom-Reason"      // for people
	headerReasonCode = "Zoom-Reason-Code" // one of a few
	headerSize       = "Zoom-Size"        // of the whole in bytes, where the body is cut
)

// spare is for what a message gets besides its headers, place in the order
// included, where NATS counts its size.
const spare = 512

// malformedFrame makes the message of a frame that is no event: its raw bytes,
// as far as they fit, with credentials masked.
func (b *Bridge) malformedFrame(f *zoom.Frame) *nats.Msg {
	code := "malformed"
	if m, ok := errors.AsType[*zoom.Malformed](f.Err); ok {
		code = m.Reason
	}
	h := newHeaders()
	b.common(h, f)
	return b.quarantine(h.header, f.Raw, f.Size, code, f.Err.Error())
}

// refused replaces an event that NATS can never store, since it is too large.
func (b *Bridge) refused(msg *nats.Msg, err error) *nats.Msg {
	if msg.Subject == subjects.Control(b.cfg.Prefix, subjects.Malformed) {
		return bare(msg)
	}
	b.malformed.Add(1)
	b.noisy.Warn().Err(err).Str("subject", msg.Subject).Int("bytes", len(msg.Data)).Msg("an event cannot be stored as it is; its beginning goes to the malformed ones")
	return b.quarantine(maps.Clone(msg.Header), msg.Data, len(msg.Data), "too_large", err.Error())
}

func (b *Bridge) quarantine(header nats.Header, raw []byte, size int, code, reason string) *nats.Msg {
	subject := subjects.Control(b.cfg.Prefix, subjects.Malformed)
	tracking := ""
	if values := header["x-zm-trackingid"]; len(values) > 0 {
		tracking = values[0]
	}
	header[nats.MsgIdHdr] = []string{dedupe.ID(b.cfg.Dedupe, tracking, subject, raw)}
	header[headerReason] = []string{reason}
	header[headerReasonCode] = []string{code}
	room := b.room(header)
	if len(raw) < size || len(raw) > room {
		header[headerSize] = []string{strconv.Itoa(size)}
	}
	body := b.mask(raw[:min(len(raw), room)])
	body = body[:min(len(body), room)] // masking may have made it longer
	return &nats.Msg{Subject: subject, Header: header, Data: body}
}

// bare keeps of a malformed message that cannot be stored either (the stream's
// limit may have been lowered) only what tells that there was one.
func bare(msg *nats.Msg) *nats.Msg {
	header := make(nats.Header)
	for _, key := range []string{nats.MsgIdHdr, headerReasonCode, headerSize, headerSubscription, headerReceivedAt, headerEpoch, headerSeq} {
		if values, ok := msg.Header[key]; ok {
			header[key] = values
		}
	}
	return &nats.Msg{Subject: msg.Subject, Header: header}
}

// room is how many bytes of body a message with these headers may have.
func (b *Bridge) room(header nats.Header) int {
	limit := int(b.nc.MaxPayload())
	if b.cfg.MaxMessage > 0 {
		limit = min(limit, b.cfg.MaxMessage)
	}
	for key, values := range header {
		limit -= len(key) + len(values[0]) + len(": \r\n")
	}
	return max(limit-spare, 0)
}
