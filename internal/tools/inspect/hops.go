package inspect

import (
	"cmp"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// Hops are the times of an event on its path, and the differences. Missing values are unknown. Zoom
// gives the time of sending in whole seconds, so differences to it are exact to a second only.
type Hops struct {
	Event    time.Time `json:"event_at,omitzero"`    // event_ts in the body
	Sent     time.Time `json:"sent_at,omitzero"`     // x-zm-request-timestamp
	Received time.Time `json:"received_at,omitzero"` // Zoom-Received-At
	Stored   time.Time `json:"stored_at"`            // time of storage in the stream

	EventToSent      *float64 `json:"event_to_sent_s,omitempty"`
	SentToReceived   *float64 `json:"sent_to_received_s,omitempty"`
	ReceivedToStored *float64 `json:"received_to_stored_s,omitempty"`
	EventToStored    *float64 `json:"event_to_stored_s,omitempty"`
}

func hops(m *Message) Hops {
	header := message.ParseHeaders(m.Header)
	near := cmp.Or(header.Received, m.Stored)
	h := Hops{Event: message.Happened(m.Body, near), Sent: message.Plausible(header.Sent, near), Received: header.Received, Stored: m.Stored.UTC()}
	h.EventToSent = between(h.Event, h.Sent)
	h.SentToReceived = between(h.Sent, h.Received)
	h.ReceivedToStored = between(h.Received, h.Stored)
	h.EventToStored = between(h.Event, h.Stored)
	return h
}

func between(a, b time.Time) *float64 {
	if a.IsZero() || b.IsZero() {
		return nil
	}
	return new(seconds(b.Sub(a)))
}
