package bridge

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// maxHeaderValue bounds a header value taken from Zoom, in bytes; known ones have up
// to 80. Longer ones are left out.
const maxHeaderValue = 512

// encoder turns frames into messages.
type encoder struct {
	cfg                 *Config
	subscription, epoch []string       // header values, shared by all messages
	signatureLog        zerolog.Logger // sampled

	// Only event uses these, with publishSem held.
	names         map[string]*encodedName // of the events seen
	unknownLogged int
	verifier      zoom.Verifier
}

func newEncoder(cfg *Config) *encoder {
	return &encoder{
		cfg: cfg, subscription: []string{cfg.Subscription}, epoch: []string{strconv.FormatUint(cfg.Term.Epoch, 10)},
		signatureLog: oncePerMinute(cfg.Log), names: make(map[string]*encodedName),
	}
}

// event makes the message of an event: its exact bytes, on the subject of its name and keys.
// seq is its number in the epoch. The id is made from the subject without keys, so that an
// event keeps it if it is received again after the setting of the keys was changed. The
// caller holds publishSem.
func (e *encoder) event(f *zoom.Frame, seq uint64) *nats.Msg {
	name := e.encodeName(f.Event)
	if name.unknown {
		e.cfg.Metrics.UnknownName.Inc()
	}
	values := e.ownValues(f, seq)
	h := newOutgoing(e.cfg.Stream.Keys.Append(name.subject, values.account, values.object))
	h.Data = f.Body
	h.set(message.HeaderID, dedupe.ID(e.cfg.Stream.Dedupe, f.Header.TrackingID, name.subject, f.Body))
	h.Header[message.HeaderEvent] = name.header
	if secret := e.cfg.SecretToken(); secret != "" {
		h.set(message.HeaderSignature, e.checkSignature(secret, f, h.Subject))
	}
	e.setFrameHeaders(h, f, values.received)
	h.Header[message.HeaderEpoch] = e.epoch
	h.set(message.HeaderSeq, values.seq)
	h.setIfKnown(message.HeaderEventAt, values.happened)
	h.setIfKnown(message.HeaderAccount, values.account)
	h.setIfKnown(message.HeaderObjectID, values.object)
	h.setIfKnown(message.HeaderObjectUUID, values.objectUUID)
	if e.cfg.Stream.CloudEvents {
		e.setCloudEvents(h, f.Event, values)
	}
	return &h.Msg
}

// malformed makes the message of a frame that is no event: as many of its raw bytes as fit,
// with credentials masked. It is safe for concurrent use.
func (e *encoder) malformed(f *zoom.Frame) *nats.Msg {
	code := "malformed"
	if m, ok := errors.AsType[*zoom.Malformed](f.Err); ok {
		code = m.Reason
	}
	h := newOutgoing("")
	e.setFrameHeaders(h, f, string(appendTime(nil, e.cfg.Clock(f.Received), 9)))
	return e.cfg.Quarantine.message(h.Header, f.Raw, f.Size, code, f.Err.Error())
}

// setSeq sets a message's epoch and its number in it, unless it has one.
func (e *encoder) setSeq(msg *nats.Msg, seq uint64) {
	if len(msg.Header[message.HeaderSeq]) == 0 {
		msg.Header[message.HeaderEpoch] = e.epoch
		msg.Header[message.HeaderSeq] = []string{strconv.FormatUint(seq, 10)}
	}
}

// setFrameHeaders sets the headers that events and malformed frames have in common.
func (e *encoder) setFrameHeaders(h *outgoing, f *zoom.Frame, received string) {
	h.setFromZoom(message.HeaderTrackingID, f.Header.TrackingID)
	h.setFromZoom(message.HeaderSentAt, f.Header.Timestamp)
	h.setFromZoom(message.HeaderZoomSignature, f.Header.Signature)
	h.setFromZoom(message.HeaderRequestID, f.Header.RequestID)
	h.setFromZoom(message.HeaderTraceparent, f.Header.Traceparent)
	h.Header[message.HeaderSubscription] = e.subscription
	h.set(message.HeaderReceivedAt, received)
}

// appendTime appends a time as RFC 3339 in UTC. It always has the given number of fractional
// digits, so that values sort as text. It is faster than the standard library, which is fast
// only without fractions.
func appendTime(to []byte, t time.Time, digits int) []byte {
	to = t.UTC().AppendFormat(to, time.RFC3339)
	to[len(to)-1] = '.' // the Z
	nanoseconds, unit := t.Nanosecond(), 100_000_000
	for range digits {
		to = append(to, '0'+byte(nanoseconds/unit%10))
		unit /= 10
	}
	return append(to, 'Z')
}

// ownValues are the header values that an event shares with no other. What the body does
// not have, or what does not fit a header, is empty.
type ownValues struct {
	received, seq               string
	happened                    string
	account, object, objectUUID string
}

// ownValues makes the values as parts of one string, in a single allocation.
func (e *encoder) ownValues(f *zoom.Frame, seq uint64) (v ownValues) {
	var buffer [256]byte
	var ends [6]int
	text := appendTime(buffer[:0], e.cfg.Clock(f.Received), 9)
	ends[0] = len(text)
	text = strconv.AppendUint(text, seq, 10)
	ends[1] = len(text)
	if !f.Happened.IsZero() {
		text = appendTime(text, f.Happened, 3)
	}
	ends[2] = len(text)
	for i, key := range [...][]byte{f.Keys.Account, f.Keys.Object, f.Keys.ObjectUUID} {
		if len(key) <= maxHeaderValue {
			text = append(text, key...)
		}
		ends[3+i] = len(text)
	}
	all, from := string(text), 0
	for i, field := range [...]*string{&v.received, &v.seq, &v.happened, &v.account, &v.object, &v.objectUUID} {
		if value := all[from:ends[i]]; fitsHeader(value) {
			*field = value
		}
		from = ends[i]
	}
	return v
}

// checkSignature returns the value of the header Zoom-Signature.
func (e *encoder) checkSignature(secret string, f *zoom.Frame, subject string) string {
	if e.verifier.Verify(secret, f.Header.Timestamp, f.Header.Signature, f.Body) {
		return message.SignatureValid
	}
	e.cfg.Metrics.InvalidSignature.Inc()
	e.signatureLog.Warn().Str("code", "event.signature").Str("subject", subject).Msg("the signature of an event is invalid; it is published and marked")
	return message.SignatureInvalid
}

// maxNames bounds how many encoded names are kept. Zoom has about 600 events.
const maxNames = 1024

// encodedName is an event's name in its encoded forms.
type encodedName struct {
	subject string
	header  []string // value of message.HeaderEvent
	unknown bool     // to this version
}

// encodeName encodes the name of an event and remembers the result.
func (e *encoder) encodeName(event string) *encodedName {
	if name := e.names[event]; name != nil {
		return name
	}
	name := &encodedName{subject: subjects.Subject(e.cfg.Stream.Prefix, event), header: []string{event}, unknown: !eventnames.Known(event)}
	if !fitsHeader(event) {
		name.header[0] = strings.TrimPrefix(name.subject, e.cfg.Stream.Prefix+".")
	}
	if name.unknown {
		e.logUnknown(event, name.subject)
	}
	if len(e.names) == maxNames {
		e.names = make(map[string]*encodedName)
	}
	e.names[event] = name
	return name
}

// maxUnknownLogged bounds how many unknown names are logged in a term.
const maxUnknownLogged = 100

func (e *encoder) logUnknown(event, subject string) {
	if e.unknownLogged++; e.unknownLogged > maxUnknownLogged {
		return
	}
	e.cfg.Log.Info().Str("code", "event.unknown_name").Str("subject", subject).Bool("new_family", !eventnames.KnownFamily(event)).
		Msg("Zoom has sent an event whose name this version does not know; it is published like any other")
}

// fitsHeader reports whether a value passes through a header unchanged.
func fitsHeader(s string) bool {
	return s != "" && (isVisibleASCII(s) || utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) == s)
}

// isVisibleASCII is the fast path of fitsHeader: all known values are visible ASCII.
func isVisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// outgoing is a message and the memory for its own header values, in one allocation.
// Values shared by messages are set directly in Header.
type outgoing struct {
	nats.Msg
	values [maxOwnValues]string
	used   int
}

// maxOwnValues is the maximum number of calls of set: the id, the result of the signature
// check, five of Zoom's headers, the time of receipt, the sequence, and four from the body.
const maxOwnValues = 13

// usualHeaders is the number of headers of an event with the three that Zoom is known to
// send. A Go map for one more takes twice the memory.
const usualHeaders = 14

func newOutgoing(subject string) *outgoing {
	return &outgoing{Msg: nats.Msg{Subject: subject, Header: make(nats.Header, usualHeaders)}}
}

// set sets a header to a value of this message alone.
func (m *outgoing) set(key, value string) {
	m.values[m.used] = value
	m.used++
	m.Header[key] = m.values[m.used-1 : m.used : m.used]
}

// setIfKnown sets a header unless the value is empty.
func (m *outgoing) setIfKnown(key, value string) {
	if value != "" {
		m.set(key, value)
	}
}

// setFromZoom sets a header to a value from Zoom if there is one and it fits.
func (m *outgoing) setFromZoom(key, value string) {
	if len(value) <= maxHeaderValue && fitsHeader(value) {
		m.set(key, value)
	}
}
