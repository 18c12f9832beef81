package bridge

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// receivedAt is RFC 3339 with all nine digits, so that values sort as text.
const receivedAt = "2006-01-02T15:04:05.000000000Z"

// maxHeaderValue bounds a header value taken from Zoom; known ones have up to
// 80 bytes. A longer one is left out.
const maxHeaderValue = 512

// eventMessage makes the message of an event: its exact bytes on the subject of its name.
// Its place in the order is the next one (see assignSeq). The caller holds publishSem.
func (b *Bridge) eventMessage(f *zoom.Frame) *nats.Msg {
	name := b.encodeName(f.Event)
	subject := name.subject
	h := newOutgoing(subject)
	h.Data = f.Body
	h.set(message.HeaderID, dedupe.ID(b.cfg.Stream.Dedupe, f.Header.TrackingID, subject, f.Body))
	h.Header[message.HeaderEvent] = name.header
	if secret := b.cfg.SecretToken(); secret != "" {
		h.set(message.HeaderSignature, b.checkSignature(secret, f, subject))
	}
	var buffer [64]byte
	text := appendReceivedAt(buffer[:0], b.cfg.Clock(f.Received))
	end := len(text)
	values := string(strconv.AppendUint(text, b.seq+1, 10)) // both in one allocation
	b.setFrameHeaders(h, f, values[:end])
	h.Header[message.HeaderEpoch] = b.epoch
	h.set(message.HeaderSeq, values[end:])
	return &h.Msg
}

// setFrameHeaders sets the headers that events and malformed frames have in common.
func (b *Bridge) setFrameHeaders(h *outgoing, f *zoom.Frame, received string) {
	h.setFromZoom(message.HeaderTrackingID, f.Header.TrackingID)
	h.setFromZoom(message.HeaderSentAt, f.Header.Timestamp)
	h.setFromZoom(message.HeaderZoomSignature, f.Header.Signature)
	h.setFromZoom(message.HeaderRequestID, f.Header.RequestID)
	h.setFromZoom(message.HeaderTraceparent, f.Header.Traceparent)
	h.Header[message.HeaderSubscription] = b.subscription
	h.set(message.HeaderReceivedAt, received)
}

// appendReceivedAt appends a time in the form of receivedAt. The standard library is fast
// only with RFC 3339 without fractions.
func appendReceivedAt(to []byte, t time.Time) []byte {
	to = t.UTC().AppendFormat(to, time.RFC3339)
	to[len(to)-1] = '.' // the Z
	nanoseconds := t.Nanosecond()
	for unit := 100_000_000; unit > 0; unit /= 10 {
		to = append(to, '0'+byte(nanoseconds/unit%10))
	}
	return append(to, 'Z')
}

// checkSignature returns the value of the header Zoom-Signature.
func (b *Bridge) checkSignature(secret string, f *zoom.Frame, subject string) string {
	if b.verifier.Verify(secret, f.Header.Timestamp, f.Header.Signature, f.Body) {
		return message.SignatureValid
	}
	b.cfg.Metrics.InvalidSignature.Inc()
	b.signatureLog.Warn().Str("code", "event.signature").Str("subject", subject).Msg("the signature of an event is invalid; it is published and marked")
	return message.SignatureInvalid
}

// maxNames bounds how many encoded names are kept. Zoom has about 600 events.
const maxNames = 1024

// encodedName is the name of an event as subject and as header.
type encodedName struct {
	subject string
	header  []string // value of message.HeaderEvent
}

// encodeName encodes the name of an event, once. The caller holds publishSem.
func (b *Bridge) encodeName(event string) *encodedName {
	if name := b.names[event]; name != nil {
		return name
	}
	name := &encodedName{subject: subjects.Subject(b.cfg.Stream.Prefix, event), header: []string{event}}
	if !fitsHeader(event) {
		name.header[0] = strings.TrimPrefix(name.subject, b.cfg.Stream.Prefix+".")
	}
	if b.names == nil || len(b.names) == maxNames {
		b.names = make(map[string]*encodedName)
	}
	b.names[event] = name
	return name
}

// fitsHeader reports whether a value passes through a header unchanged.
func fitsHeader(s string) bool {
	return s != "" && (isVisibleASCII(s) || utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) == s)
}

// isVisibleASCII is a fast path of fitsHeader: all known values are.
func isVisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// outgoing is a message and the memory of its header's values, in one allocation.
// Values that messages share are set in Header itself.
type outgoing struct {
	nats.Msg
	values [maxOwnValues]string
	used   int
}

// maxOwnValues is how often set is called at most: the id, the result of the signature's
// check, five of Zoom's, the time of receipt and the sequence.
const maxOwnValues = 9

func newOutgoing(subject string) *outgoing {
	return &outgoing{Msg: nats.Msg{Subject: subject, Header: make(nats.Header, 12)}}
}

// set sets a header to a value of this message alone.
func (m *outgoing) set(key, value string) {
	m.values[m.used] = value
	m.used++
	m.Header[key] = m.values[m.used-1 : m.used : m.used]
}

// setFromZoom sets a header to a value that came from Zoom, if it is there and fits.
func (m *outgoing) setFromZoom(key, value string) {
	if len(value) <= maxHeaderValue && fitsHeader(value) {
		m.set(key, value)
	}
}
