package bridge

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/redact"
	"github.com/zoomstream/zoomstream/message"
)

// sizeReserve is room, in bytes, for what NATS counts in a message besides its headers and
// body, and for the headers that are set later.
const sizeReserve = 512

// Quarantine makes the malformed messages for frames and events that cannot be stored as
// they are. It is safe for concurrent use.
type Quarantine struct {
	nc      *nats.Conn
	stream  Stream
	secrets func() []string
	refused func(subscription string) // called for each event that is too large
	log     zerolog.Logger            // sampled
}

// NewQuarantine returns a Quarantine for a stream. It masks the given secrets and everything
// that looks like a credential. It calls refused once for each event that NATS will never
// store, with the event's subscription.
func NewQuarantine(nc *nats.Conn, stream Stream, secrets func() []string, refused func(subscription string), log zerolog.Logger) *Quarantine {
	return &Quarantine{nc: nc, stream: stream, secrets: secrets, refused: refused, log: oncePerMinute(log)}
}

// oncePerMinute samples a log for messages that may come with every event. A metric counts
// the rest.
func oncePerMinute(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
}

// Refused returns the message to store in place of one that NATS refuses as too large. It
// implements publisher.Options.Refused.
func (q *Quarantine) Refused(msg *nats.Msg, err error) *nats.Msg {
	if message.KindOf(q.stream.Prefix, msg.Subject) == message.KindMalformed {
		return headersOnly(msg) // it was already counted
	}
	q.refused(msg.Header.Get(message.HeaderSubscription))
	q.log.Warn().Str("code", "event.too_large").Err(err).Str("subject", msg.Subject).Int("bytes", len(msg.Data)).Msg("an event cannot be stored as it is; its beginning is stored as a malformed frame")
	return q.message(withoutCloudEvents(msg.Header), msg.Data, len(msg.Data), message.ReasonTooLarge, err.Error())
}

// mask returns a copy with credentials masked. The text need not be well-formed and may be
// truncated anywhere.
func (q *Quarantine) mask(raw []byte) []byte {
	return []byte(redact.Text(string(raw), q.secrets()...))
}

// message makes a malformed message with the given headers. raw is the known part of a
// frame or body of size bytes.
func (q *Quarantine) message(header nats.Header, raw []byte, size int, code, reason string) *nats.Msg {
	subject := message.KindMalformed.Subject(q.stream.Prefix)
	tracking := ""
	if values := header[message.HeaderTrackingID]; len(values) > 0 {
		tracking = values[0]
	}
	header[message.HeaderID] = []string{dedupe.ID(q.stream.Dedupe, tracking, subject, raw)}
	m := message.Malformed{Code: code, Reason: reason}
	limit := q.maxBody(m.Msg(q.stream.Prefix, header).Header)
	if len(raw) < size || len(raw) > limit {
		m.Size = size
	}
	m.Body = q.mask(raw[:min(len(raw), limit)])
	m.Body = m.Body[:min(len(m.Body), limit)] // masking may have made it longer
	return m.Msg(q.stream.Prefix, header)
}

// headersOnly returns only the essential headers of a malformed message that cannot be
// stored either: the stream's limit may have been lowered.
func headersOnly(msg *nats.Msg) *nats.Msg {
	header := make(nats.Header)
	for _, key := range []string{message.HeaderID, message.HeaderReasonCode, message.HeaderSize, message.HeaderSubscription, message.HeaderReceivedAt, message.HeaderEpoch, message.HeaderSeq} {
		if values, ok := msg.Header[key]; ok {
			header[key] = values
		}
	}
	return &nats.Msg{Subject: msg.Subject, Header: header}
}

// maxBody is the maximum body size, in bytes, of a message with these headers.
func (q *Quarantine) maxBody(header nats.Header) int {
	limit := int(q.nc.MaxPayload())
	if q.stream.MaxMessage > 0 {
		limit = min(limit, q.stream.MaxMessage)
	}
	for key, values := range header {
		limit -= len(key) + len(values[0]) + len(": \r\n")
	}
	return max(limit-sizeReserve, 0)
}
