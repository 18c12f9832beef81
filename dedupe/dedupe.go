// Package dedupe makes the message id (Nats-Msg-Id) by which JetStream deduplicates
// events, and keeps a small local window of recent ids.
//
// Zoom's x-zm-trackingid is the trace id of the operation behind an event: a
// published capture shows meeting.ended and recording.completed sharing one.
// Used alone it would drop events, so the id also carries a digest of subject
// and body: one delivery seen twice has one id, two events of one operation have
// two.
//
// The subject here has no keys after the event's name, so that an event keeps its id when
// ZOOMSTREAM_SUBJECT_KEY changes.
//
// The stream's duplicate window does the work
// (https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive#message-deduplication);
// [Window] only saves a round trip for what was just sent.
package dedupe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Mode is what an id is made of.
type Mode int

const (
	// Tracking makes <tracking id>:<16 hex digits of a digest of subject and
	// body>. For an event without a tracking id it is the same as Content.
	Tracking Mode = iota
	// Content makes sha256:<32 hex digits of a digest of subject and body>. In
	// this mode the stream stores an event once even if twin subscriptions carry
	// it under different tracking ids. It also stores only one of two events with
	// the same subject and equal bodies.
	Content
)

// maxTracking bounds the tracking id within a message id, in bytes; known ones
// have up to 52.
const maxTracking = 128

// ParseMode parses "tracking" or "content". Anything else is an error.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "tracking":
		return Tracking, nil
	case "content":
		return Content, nil
	}
	return 0, fmt.Errorf("dedupe mode %q is unknown; use tracking or content", s)
}

// String returns the name that [ParseMode] parses.
func (m Mode) String() string {
	if m == Content {
		return "content"
	}
	return "tracking"
}

// ID returns the message id of an event. It is a pure function: every process
// gets the same id. The digest is SHA-256 over the subject, a zero byte and the
// body. A tracking id that does not fit a header (longer than 128 bytes, or with
// anything but visible ASCII) is replaced by a digest of itself.
func ID(mode Mode, trackingID, subject string, body []byte) string {
	digest := sha256.New()
	digest.Write([]byte(subject))
	digest.Write([]byte{0})
	digest.Write(body)
	var sum [sha256.Size]byte
	digest.Sum(sum[:0])

	if mode == Content || trackingID == "" {
		return "sha256:" + hex.EncodeToString(sum[:16])
	}
	if !fitsHeader(trackingID) {
		tracking := sha256.Sum256([]byte(trackingID))
		trackingID = "tracking-sha256-" + hex.EncodeToString(tracking[:16])
	}
	return trackingID + ":" + hex.EncodeToString(sum[:8])
}

func fitsHeader(s string) bool {
	if len(s) > maxTracking {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
