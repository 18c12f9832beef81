package message

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// The headers that zoomstream adds. An event has all of these but the signature's, a
// malformed frame those that are known of it.
const (
	// HeaderID is the message's id, by which the stream stores it once: consumers may use it as the key of what they
	// have handled. An event's is `<tracking id>:<16 hex digits of SHA-256(subject without keys, 0, body)>`, or
	// `sha256:<32 hex digits>` without a tracking id or with `ZOOMSTREAM_DEDUPE=content`. Every message has one.
	HeaderID = nats.MsgIdHdr
	// HeaderEvent is the event's name, such as `meeting.started`, whole and not encoded; percent-encoded only if it holds
	// what a header cannot. Absent from the bridge's own messages, but for the beginning of an event that was too large.
	HeaderEvent = "Zoom-Event"
	// HeaderSubscription is the id of the event subscription at Zoom. Absent from alarms of a whole replica.
	HeaderSubscription = "Zoom-Subscription"
	// HeaderReceivedAt is when zoomstream read the frame: RFC 3339, UTC, always nine digits of a second, so that values
	// sort as text. Absent from gaps and alarms, which say in their bodies when they were.
	HeaderReceivedAt = "Zoom-Received-At"
	// HeaderEpoch is the number of the leadership under which the message was made. It grows whenever another replica, or
	// the same one anew, leads the subscription, also after the buckets were deleted. Absent from alarms of a whole replica.
	HeaderEpoch = "Zoom-Epoch"
	// HeaderSeq is the number of the message in its epoch and subscription, from 1. One may be missing where the stream had
	// the event already. Absent from alarms of a whole replica.
	HeaderSeq = "Zoom-Seq"
	// HeaderSignature is `valid` or `invalid`: whether Zoom's signature is that of the body. An invalid event is published all
	// the same. Absent without `ZOOM_SECRET_TOKEN`.
	HeaderSignature = "Zoom-Signature"
)

// The headers that Zoom sends, under Zoom's own names. Each is absent if Zoom did not send it, or if it is over 512 bytes
// or holds what a header cannot.
const (
	// HeaderTrackingID is Zoom's id of the operation behind the event. Several events of one operation share it, so it is no
	// id of an event.
	HeaderTrackingID = "x-zm-trackingid"
	// HeaderSentAt is when Zoom sent the event, in whole seconds since 1970.
	HeaderSentAt = "x-zm-request-timestamp"
	// HeaderZoomSignature is Zoom's signature, `v0=<64 hex digits>`: HMAC-SHA-256 of `v0:<x-zm-request-timestamp>:<body>` with
	// the secret token.
	HeaderZoomSignature = "x-zm-signature"
	// HeaderRequestID is Zoom's id of the delivery.
	HeaderRequestID = "x-zm-request-id"
	// HeaderTraceparent is the trace context (W3C).
	HeaderTraceparent = "traceparent"
)

// The headers that say what is in an event's body, so that nobody need parse it for them. Each is absent if the body does
// not have it, or has something else there than is said here, or if it is over 512 bytes or holds what a header cannot.
const (
	// HeaderAccount is `payload.account_id`.
	HeaderAccount = "Zoom-Account"
	// HeaderObjectID is `payload.object.id`, such as a meeting's number, as it stands: a string's text or a number's
	// digits; Zoom has the same id as a string in some events and as a number in others. Absent where `object` is an
	// array: that has several objects.
	HeaderObjectID = "Zoom-Object-Id"
	// HeaderObjectUUID is `payload.object.uuid`, such as that of one occurrence of a meeting; it may hold `/`, `+` and `=`.
	HeaderObjectUUID = "Zoom-Object-Uuid"
	// HeaderEventAt is when the event happened, `event_ts`: RFC 3339, UTC, always three digits of a second, so that values
	// sort as text. Absent also if it cannot be: over a year before the receipt, or over an hour after it.
	HeaderEventAt = "Zoom-Event-At"
)

// The headers that events also have with `ZOOMSTREAM_CLOUDEVENTS=on`: the attributes of a CloudEvent (version 1.0) in the
// binary mode of its binding for NATS. What is not visible ASCII in a value, and `"` and `%`, is percent-encoded.
const (
	// HeaderCESpecVersion is `1.0`.
	HeaderCESpecVersion = "ce-specversion"
	// HeaderCEID is the message's id, as in `Nats-Msg-Id`.
	HeaderCEID = "ce-id"
	// HeaderCESource is `//zoom.us/subscriptions/<subscription>`.
	HeaderCESource = "ce-source"
	// HeaderCEType is the event's name, as in `Zoom-Event`.
	HeaderCEType = "ce-type"
	// HeaderCETime is when the event happened, or when it was received if it does not say so.
	HeaderCETime = "ce-time"
	// HeaderCEDataContentType is `application/json`.
	HeaderCEDataContentType = "ce-datacontenttype"
	// HeaderCESubject is the object's id, as in `Zoom-Object-Id`; absent with it.
	HeaderCESubject = "ce-subject"
)

// The headers that malformed frames have besides those above that are known, and dead letters of zoomstream forward
// besides those of the event.
const (
	// HeaderReasonCode is why the frame is no event: `not_json`, `module`, `content`, `event` or `too_large`. Of a dead
	// letter it is why the event could not be delivered: `timeout`, `connection`, or `http_` and the status.
	HeaderReasonCode = "Zoom-Reason-Code"
	// HeaderReason is the same for people, in words that may change.
	HeaderReason = "Zoom-Reason"
	// HeaderSize is the length of the whole in bytes. Absent if the body is whole.
	HeaderSize = "Zoom-Size"
)

// The values of [HeaderSignature].
const (
	SignatureValid   = "valid"
	SignatureInvalid = "invalid"
)

// Headers is what the headers of a message say. What is absent or cannot be read is
// zero.
type Headers struct {
	ID           string    // of the message
	Event        string    // name
	Subscription string    // id
	Received     time.Time // by the connector
	Epoch, Seq   uint64
	Signature    string // [SignatureValid], [SignatureInvalid], or empty: not checked

	TrackingID    string
	RequestID     string
	Traceparent   string
	Sent          time.Time // by Zoom, to the second; anything from 1970 to 9999, see [Plausible]
	ZoomSignature string

	Account    string
	ObjectID   string
	ObjectUUID string
	Happened   time.Time // by event_ts, to the millisecond; anything from 1970 to 9999, see [Plausible]
}

// ParseHeaders reads the headers of a message.
func ParseHeaders(h nats.Header) Headers {
	parsed := Headers{
		ID: text(h, HeaderID), Event: h.Get(HeaderEvent), Subscription: text(h, HeaderSubscription),
		Epoch: number(h, HeaderEpoch), Seq: number(h, HeaderSeq),
		TrackingID: text(h, HeaderTrackingID), RequestID: text(h, HeaderRequestID), Traceparent: text(h, HeaderTraceparent), ZoomSignature: text(h, HeaderZoomSignature),
		Account: text(h, HeaderAccount), ObjectID: text(h, HeaderObjectID), ObjectUUID: text(h, HeaderObjectUUID),
		Received: instant(h, HeaderReceivedAt), Happened: instant(h, HeaderEventAt),
	}
	if seconds, err := strconv.ParseInt(h.Get(HeaderSentAt), 10, 64); err == nil && 0 <= seconds && seconds <= latestSecond {
		parsed.Sent = time.Unix(seconds, 0).UTC()
	}
	if verdict := h.Get(HeaderSignature); verdict == SignatureValid || verdict == SignatureInvalid {
		parsed.Signature = verdict
	}
	return parsed
}

// latestSecond is the last one of the year 9999, the last one that RFC 3339 can write.
const latestSecond = 253402300799

// maxValue bounds the values of headers; zoomstream writes none that are longer, but
// for an event's name.
const maxValue = 1024

// text is a header's value, or "" if that is none of zoomstream's.
func text(h nats.Header, name string) string {
	if value := h.Get(name); len(value) <= maxValue {
		return value
	}
	return ""
}

func instant(h nats.Header, name string) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, h.Get(name)); err == nil && 0 <= at.Unix() && at.Unix() <= latestSecond {
		return at.UTC()
	}
	return time.Time{}
}

func number(h nats.Header, name string) uint64 {
	if n, err := strconv.ParseUint(h.Get(name), 10, 64); err == nil && n < MaxNumber {
		return n
	}
	return 0
}
