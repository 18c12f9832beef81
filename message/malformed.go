package message

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// Malformed is a frame that is no event, or an event that is too large for the stream.
// What else is known of it stands in the message's headers ([ParseHeaders]).
type Malformed struct {
	Code   string // one of a few
	Reason string // for people
	Size   int    // of the whole in bytes; 0: Body is whole
	Body   []byte // raw, with credentials masked
}

// Why a frame is malformed. A later version may have more reasons.
const (
	ReasonNotJSON  = "not_json"  // the frame, or its content, is no JSON object
	ReasonModule   = "module"    // it has no module, an unknown one, or one that carries no events
	ReasonContent  = "content"   // it has no content that could be an event
	ReasonEvent    = "event"     // the event has no name, or one over 1024 bytes
	ReasonTooLarge = "too_large" // the event, or the frame, is larger than the stream or this program takes
)

// Msg returns the message of a malformed frame, below the connector's prefix. The header
// is what is known of the frame, the message's id included; it becomes the message's.
func (m Malformed) Msg(prefix string, header nats.Header) *nats.Msg {
	header[HeaderReason] = []string{m.Reason}
	header[HeaderReasonCode] = []string{m.Code}
	if m.Size > 0 {
		header[HeaderSize] = []string{strconv.Itoa(m.Size)}
	}
	return &nats.Msg{Subject: KindMalformed.Subject(prefix), Header: header, Data: m.Body}
}

// ParseMalformed reads a malformed frame's message. The body is not copied.
func ParseMalformed(header nats.Header, body []byte) Malformed {
	m := Malformed{Code: header.Get(HeaderReasonCode), Reason: header.Get(HeaderReason), Body: body}
	if size, err := strconv.Atoi(header.Get(HeaderSize)); err == nil && size > 0 {
		m.Size = size
	}
	shorten(&m.Code, &m.Reason)
	return m
}
