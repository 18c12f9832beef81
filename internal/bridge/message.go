package bridge

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/subjects"
)

// The headers of a message besides Nats-Msg-Id and those that keep Zoom's own
// names.
const (
	headerEvent        = "Zoom-Event"
	headerSubscription = "Zoom-Subscription"
	headerReceivedAt   = "Zoom-Received-At"
	headerSentAt       = "x-zm-request-timestamp"
	headerEpoch        = "Zoom-Epoch"
	headerSeq          = "Zoom-Seq"
	headerSignature    = "Zoom-Signature"
)

// receivedAt is RFC 3339 with all nine digits, so that values sort as text.
const receivedAt = "2006-01-02T15:04:05.000000000Z"

// maxHeaderValue bounds a header value taken from Zoom; known ones have up to
// 80 bytes. A longer one is left out.
const maxHeaderValue = 512

// event makes the message of an event: its exact bytes on the subject of its
// name.
func (b *Bridge) event(f *zoom.Frame) *nats.Msg {
	subject := subjects.Subject(b.cfg.Prefix, f.Event)
	h := newHeaders()
	h.set(nats.MsgIdHdr, dedupe.ID(b.cfg.Dedupe, f.Header.TrackingID, subject, f.Body))
	h.set(headerEvent, b.eventName(f.Event, subject))
	if secret := b.cfg.SecretToken(); secret != "" {
		h.set(headerSignature, b.verdict(secret, f))
	}
	b.common(h, f)
	return &nats.Msg{Subject: subject, Header: h.header, Data: f.Body}
}

// common adds the headers of events and malformed frames alike.
func (b *Bridge) common(h *headers, f *zoom.Frame) {
	h.zoom("x-zm-trackingid", f.Header.TrackingID)
	h.zoom(headerSentAt, f.Header.Timestamp)
	h.zoom("x-zm-signature", f.Header.Signature)
	h.zoom("x-zm-request-id", f.Header.RequestID)
	h.zoom("traceparent", f.Header.Traceparent)
	h.set(headerSubscription, b.cfg.Subscription)
	h.set(headerReceivedAt, b.clock(f.Received).UTC().Format(receivedAt))
}

// stamp adds the place of a message in the order of this epoch.
func (b *Bridge) stamp(msg *nats.Msg, seq uint64) {
	values := [...]string{strconv.FormatUint(b.cfg.Epoch, 10), strconv.FormatUint(seq, 10)}
	msg.Header[headerEpoch] = values[0:1:1]
	msg.Header[headerSeq] = values[1:2:2]
}

func (b *Bridge) verdict(secret string, f *zoom.Frame) string {
	if zoom.VerifySignature(secret, f.Header.Timestamp, f.Header.Signature, f.Body) {
		return "valid"
	}
	b.invalidSignatures.Add(1)
	b.cfg.Meter.InvalidSignature.Inc()
	b.badSignatures.Warn().Str("code", "event.signature").Str("subject", subjects.Subject(b.cfg.Prefix, f.Event)).Msg("the signature of an event is invalid; it is published and marked")
	return "invalid"
}

// eventName is the name as a header can carry it: itself, or as in the subject.
func (b *Bridge) eventName(event, subject string) string {
	if fitsHeader(event) {
		return event
	}
	return strings.TrimPrefix(subject, b.cfg.Prefix+".")
}

// fitsHeader reports whether a header hands a value on unchanged.
func fitsHeader(s string) bool {
	return s != "" && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) == s
}

// headers builds a header whose values share one array.
type headers struct {
	header nats.Header
	values []string
}

func newHeaders() *headers {
	return &headers{header: make(nats.Header, 12), values: make([]string, 0, 10)}
}

func (h *headers) set(key, value string) {
	h.values = append(h.values, value)
	n := len(h.values)
	h.header[key] = h.values[n-1 : n : n]
}

// zoom adds a value that came from Zoom if it is there and fits.
func (h *headers) zoom(key, value string) {
	if len(value) <= maxHeaderValue && fitsHeader(value) {
		h.set(key, value)
	}
}
