package message

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// Malformed is a frame that is no event, or an event that is too large for the stream. The
// message's headers hold what else is known of it ([ParseHeaders]).
type Malformed struct {
	Code   string // one of the Reason constants, or another one of a later version
	Reason string // for people
	Size   int    // of the whole in bytes; 0: Body is not truncated
	Body   []byte // raw, with credentials masked
}

// Why a frame is malformed. Later versions may add reasons.
const (
	ReasonNotJSON  = "not_json"  // the frame, or its content, is not a JSON object
	ReasonModule   = "module"    // it has no module, an unknown one, or one that carries no events
	ReasonContent  = "content"   // it has no content that could be an event
	ReasonEvent    = "event"     // the event has no name, or one over 1024 bytes
	ReasonTooLarge = "too_large" // the event, or the frame, is larger than the stream or this program takes
)

// Msg returns the malformed frame as a message below the connector's prefix. The header
// holds what is known of the frame, including the message's id. Msg adds to it and keeps it
// as the message's.
func (m Malformed) Msg(prefix string, header nats.Header) *nats.Msg {
	header[HeaderReason] = []string{m.Reason}
	header[HeaderReasonCode] = []string{m.Code}
	if m.Size > 0 {
		header[HeaderSize] = []string{strconv.Itoa(m.Size)}
	}
	return &nats.Msg{Subject: KindMalformed.Subject(prefix), Header: header, Data: m.Body}
}

// ParseMalformed parses a malformed frame's message and cuts its texts to [MaxText] bytes.
// It does not copy the body.
func ParseMalformed(header nats.Header, body []byte) Malformed {
	m := Malformed{Code: header.Get(HeaderReasonCode), Reason: header.Get(HeaderReason), Body: body}
	if size, err := strconv.Atoi(header.Get(HeaderSize)); err == nil && size > 0 {
		m.Size = size
	}
	shorten(&m.Code, &m.Reason)
	return m
}
