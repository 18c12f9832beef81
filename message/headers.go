package message

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// The headers that zoomstream adds. An event always has all of them but HeaderSignature; a
// malformed frame has those that are known.
const (
	// HeaderID is the message's id, by which the stream deduplicates. Consumers may use it as the key of what they have
	// handled. An event's is `<tracking id>:<16 hex digits of SHA-256(subject without keys, 0, body)>`, or
	// `sha256:<32 hex digits>` without a tracking id or with `ZOOMSTREAM_DEDUPE=content`. Every message has one.
	HeaderID = nats.MsgIdHdr
	// HeaderEvent is the event's full name, such as `meeting.started`. It is percent-encoded only if it contains what a
	// header cannot. Absent from the bridge's own messages, except for the start of an event that was too large.
	HeaderEvent = "Zoom-Event"
	// HeaderSubscription is the id of the event subscription at Zoom. Absent from alarms of a whole replica.
	HeaderSubscription = "Zoom-Subscription"
	// HeaderReceivedAt is when zoomstream read the frame: RFC 3339, UTC, always with nine fractional digits, so that values
	// sort as text. Absent from gaps and alarms, which have their times in the body.
	HeaderReceivedAt = "Zoom-Received-At"
	// HeaderEpoch is the number of the term in which the message was made. It grows with every new term of the
	// subscription, whether another replica leads or the same one again, and also after the buckets were deleted.
	// Absent from alarms of a whole replica.
	HeaderEpoch = "Zoom-Epoch"
	// HeaderSeq is the message's number within its epoch and subscription, from 1. A number may be missing where the stream
	// already had the event. Absent from alarms of a whole replica.
	HeaderSeq = "Zoom-Seq"
	// HeaderSignature is `valid` or `invalid`: whether Zoom's signature matches the body. An event with an invalid signature
	// is still published. Absent without `ZOOM_SECRET_TOKEN`.
	HeaderSignature = "Zoom-Signature"
)

// The headers that Zoom sends, under Zoom's own names. Each is absent if Zoom did not send it, if it is over 512 bytes, or
// if it contains what a header cannot.
const (
	// HeaderTrackingID is Zoom's id of the operation behind the event. Several events of one operation share it, so it does
	// not identify an event.
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

// The headers that repeat fields of an event's body, so that consumers need not parse it. Each is absent if the body lacks
// the field or has another type there, if the value is over 512 bytes, or if it contains what a header cannot.
const (
	// HeaderAccount is `payload.account_id`.
	HeaderAccount = "Zoom-Account"
	// HeaderObjectID is `payload.object.id`, such as a meeting's number: the text of a string or the digits of a number.
	// Zoom sends the same id as a string in some events and as a number in others. Absent where `object` is an array,
	// which holds several objects.
	HeaderObjectID = "Zoom-Object-Id"
	// HeaderObjectUUID is `payload.object.uuid`, such as that of one occurrence of a meeting. It may contain `/`, `+` and `=`.
	HeaderObjectUUID = "Zoom-Object-Uuid"
	// HeaderEventAt is when the event happened, `event_ts`: RFC 3339, UTC, always with three fractional digits, so that
	// values sort as text. Also absent if implausible: over 366 days before the receipt, or over an hour after it.
	HeaderEventAt = "Zoom-Event-At"
)

// The headers that events also have with `ZOOMSTREAM_CLOUDEVENTS=on`: the attributes of a CloudEvent (version 1.0) in the
// binary mode of its NATS binding. In values, `"`, `%` and all but visible ASCII are percent-encoded.
const (
	// HeaderCESpecVersion is `1.0`.
	HeaderCESpecVersion = "ce-specversion"
	// HeaderCEID is the message's id, as in `Nats-Msg-Id`.
	HeaderCEID = "ce-id"
	// HeaderCESource is `//zoom.us/subscriptions/<subscription>`.
	HeaderCESource = "ce-source"
	// HeaderCEType is the event's name, as in `Zoom-Event`.
	HeaderCEType = "ce-type"
	// HeaderCETime is when the event happened, or when it was received if the event does not say.
	HeaderCETime = "ce-time"
	// HeaderCEDataContentType is `application/json`.
	HeaderCEDataContentType = "ce-datacontenttype"
	// HeaderCESubject is the object's id, as in `Zoom-Object-Id`; absent with it.
	HeaderCESubject = "ce-subject"
)

// The headers that malformed frames have in addition to the known ones of those above. Dead letters of zoomstream forward
// have them in addition to the event's.
const (
	// HeaderReasonCode is why the frame is no event: `not_json`, `module`, `content`, `event` or `too_large`. On a dead
	// letter it is why the event could not be delivered: `timeout`, `connection`, or `http_` and the status.
	HeaderReasonCode = "Zoom-Reason-Code"
	// HeaderReason is the same for people; its wording may change.
	HeaderReason = "Zoom-Reason"
	// HeaderSize is the full length in bytes. Absent if the body is not truncated.
	HeaderSize = "Zoom-Size"
)

// The values of [HeaderSignature].
const (
	SignatureValid   = "valid"
	SignatureInvalid = "invalid"
)

// Headers are the parsed headers of a message. A header that is absent or cannot be read
// leaves its field zero.
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
	Sent          time.Time // by Zoom, to the second; any year from 1970 to 9999, see [Plausible]
	ZoomSignature string

	Account    string
	ObjectID   string
	ObjectUUID string
	Happened   time.Time // event_ts, to the millisecond; any year from 1970 to 9999, see [Plausible]
}

// ParseHeaders parses the headers of a message. It never fails: see [Headers].
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

// latestSecond is the last second of the year 9999, the latest that RFC 3339 can express.
const latestSecond = 253402300799

// maxValue bounds the values of headers in bytes. zoomstream writes no longer ones, except
// for an event's name.
const maxValue = 1024

// text is a header's value, or "" if it is too long to be from zoomstream.
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
