package inspect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Hops are the times of an event on its way, and between them. What is missing is
// unknown. Zoom tells when it sent an event in whole seconds, so the times before
// and after that are exact to a second only.
type Hops struct {
	Event    time.Time `json:"event_at,omitzero"`    // event_ts of the body
	Sent     time.Time `json:"sent_at,omitzero"`     // x-zm-request-timestamp
	Received time.Time `json:"received_at,omitzero"` // Zoom-Received-At
	Stored   time.Time `json:"stored_at"`            // the stream's time of the message

	EventToSent      *float64 `json:"event_to_sent_s,omitempty"`
	SentToReceived   *float64 `json:"sent_to_received_s,omitempty"`
	ReceivedToStored *float64 `json:"received_to_stored_s,omitempty"`
	EventToStored    *float64 `json:"event_to_stored_s,omitempty"`
}

func hops(m *message) Hops {
	h := Hops{Stored: m.stored.UTC()}
	h.Received, _ = time.Parse(time.RFC3339Nano, m.get("Zoom-Received-At")) // zero: unknown
	if ms, ok := integer(member(m.body, "event_ts")); ok {
		h.Event = plausible(time.UnixMilli(ms), h)
	}
	if s, ok := integer([]byte(m.get("x-zm-request-timestamp"))); ok {
		h.Sent = plausible(time.Unix(s, 0), h)
	}
	h.EventToSent = between(h.Event, h.Sent)
	h.SentToReceived = between(h.Sent, h.Received)
	h.ReceivedToStored = between(h.Received, h.Stored)
	h.EventToStored = between(h.Event, h.Stored)
	return h
}

// plausible is a time as the connector itself would believe it: some events carry
// a time that is in another unit or made up.
func plausible(at time.Time, h Hops) time.Time {
	near := h.Received
	if near.IsZero() {
		near = h.Stored
	}
	if before := near.Sub(at); before > 366*24*time.Hour || before < -time.Hour {
		return time.Time{}
	}
	return at.UTC()
}

func between(a, b time.Time) *float64 {
	if a.IsZero() || b.IsZero() {
		return nil
	}
	return new(seconds(b.Sub(a)))
}

// integer reads a JSON number or a string with one.
func integer(value []byte) (int64, bool) {
	n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
	return n, err == nil
}

// member is the value of a top-level member of a JSON object; nil: there is none.
func member(body []byte, name string) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var found json.RawMessage
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			break
		}
		if key == name {
			found = value
		}
	}
	return found
}
