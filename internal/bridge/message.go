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

// event makes the message of an event: its exact bytes on the subject of its
// name. Its place in the order is the next one. The caller holds turn.
func (b *Bridge) event(f *zoom.Frame) *nats.Msg {
	name := b.name(f.Event)
	subject := name.subject
	h := newOutgoing(subject)
	h.Data = f.Body
	h.set(message.HeaderID, dedupe.ID(b.cfg.Stream.Dedupe, f.Header.TrackingID, subject, f.Body))
	h.Header[message.HeaderEvent] = name.header
	if secret := b.cfg.SecretToken(); secret != "" {
		h.set(message.HeaderSignature, b.verdict(secret, f, subject))
	}
	var buffer [64]byte
	text := appendReceivedAt(buffer[:0], b.cfg.Clock(f.Received))
	end := len(text)
	place := string(strconv.AppendUint(text, b.seq+1, 10)) // both in one allocation
	b.common(h, f, place[:end])
	h.Header[message.HeaderEpoch] = b.epoch
	h.set(message.HeaderSeq, place[end:])
	return &h.Msg
}

// common adds the headers of events and malformed frames alike.
func (b *Bridge) common(h *outgoing, f *zoom.Frame, received string) {
	h.zoom(message.HeaderTrackingID, f.Header.TrackingID)
	h.zoom(message.HeaderSentAt, f.Header.Timestamp)
	h.zoom(message.HeaderZoomSignature, f.Header.Signature)
	h.zoom(message.HeaderRequestID, f.Header.RequestID)
	h.zoom(message.HeaderTraceparent, f.Header.Traceparent)
	h.Header[message.HeaderSubscription] = b.subscription
	h.set(message.HeaderReceivedAt, received)
}

// stamp adds the place of a message in the order of this epoch.
func (b *Bridge) stamp(msg *nats.Msg, seq uint64) {
	msg.Header[message.HeaderEpoch] = b.epoch
	msg.Header[message.HeaderSeq] = []string{strconv.FormatUint(seq, 10)}
}

// appendReceivedAt appends a time in the form of receivedAt. That of RFC 3339 without
// fractions is the one that the standard library has a short way for.
func appendReceivedAt(to []byte, t time.Time) []byte {
	to = t.UTC().AppendFormat(to, time.RFC3339)
	to[len(to)-1] = '.' // the Z
	nanoseconds := t.Nanosecond()
	for unit := 100_000_000; unit > 0; unit /= 10 {
		to = append(to, '0'+byte(nanoseconds/unit%10))
	}
	return append(to, 'Z')
}

func (b *Bridge) verdict(secret string, f *zoom.Frame, subject string) string {
	if b.verifier.Verify(secret, f.Header.Timestamp, f.Header.Signature, f.Body) {
		return message.SignatureValid
	}
	b.cfg.Metrics.InvalidSignature.Inc()
	b.badSignatures.Warn().Str("code", "event.signature").Str("subject", subject).Msg("the signature of an event is invalid; it is published and marked")
	return message.SignatureInvalid
}

// keepNames bounds how many names of events are kept. Zoom has about 600.
const keepNames = 1024

// eventName is the name of an event as its messages have it.
type eventName struct {
	subject string
	header  []string // value of message.HeaderEvent
}

func (b *Bridge) name(event string) *eventName {
	if name := b.names[event]; name != nil {
		return name
	}
	name := &eventName{subject: subjects.Subject(b.cfg.Stream.Prefix, event), header: []string{event}}
	if !fitsHeader(event) {
		name.header[0] = strings.TrimPrefix(name.subject, b.cfg.Stream.Prefix+".")
	}
	if b.names == nil || len(b.names) == keepNames {
		b.names = make(map[string]*eventName)
	}
	b.names[event] = name
	return name
}

// fitsHeader reports whether a header hands a value on unchanged.
func fitsHeader(s string) bool {
	return s != "" && (visible(s) || utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) == s)
}

// visible reports whether a value has visible ASCII only, as all known ones have.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// outgoing is a message and what its header's values consist of, in one allocation.
// Values that many messages share are set in Header itself.
type outgoing struct {
	nats.Msg
	values [ownValues]string
	used   int
}

// ownValues is how often set is called at most: the id, the verdict on the signature,
// five of Zoom's, the time of receipt and the place.
const ownValues = 9

func newOutgoing(subject string) *outgoing {
	return &outgoing{Msg: nats.Msg{Subject: subject, Header: make(nats.Header, 12)}}
}

func (m *outgoing) set(key, value string) {
	m.values[m.used] = value
	m.used++
	m.Header[key] = m.values[m.used-1 : m.used : m.used]
}

// zoom adds a value that came from Zoom if it is there and fits.
func (m *outgoing) zoom(key, value string) {
	if len(value) <= maxHeaderValue && fitsHeader(value) {
		m.set(key, value)
	}
}
