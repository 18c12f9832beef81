package message

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Upper bounds of what a message contains.
const (
	// MaxText is how many bytes of a text for people are kept.
	MaxText = 512
	// MaxNumber is greater than any epoch, and than any number within an epoch. Every JSON
	// reader represents the integers up to it exactly.
	MaxNumber = 1 << 53

	maxBody = 64 << 10 // bytes; a gap with its longest texts takes a fifth of it
	// clockSkew is how far a replica's clock may be ahead of the server's.
	clockSkew = time.Minute
	// longest is longer than any real gap. A year is real: that of a connector which was
	// switched off for a year.
	longest = 10 * 365 * 24 * time.Hour
)

// earliest is before anything that zoomstream can report.
var earliest = time.Unix(0, 0)

// Short returns text if it has at most max bytes. Otherwise it returns as many whole
// characters as fit into max bytes and an ellipsis, and the result shares no memory with text.
func Short(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max] + "…"
}

// Clamp moves a time to at most latest and at least ten years before that, and into UTC. It
// leaves the zero time alone.
func Clamp(t, latest time.Time) time.Time {
	switch oldest := latest.Add(-longest); {
	case t.IsZero():
		return t
	case t.After(latest):
		return latest.UTC()
	case t.Before(oldest):
		return oldest.UTC()
	}
	return t.UTC()
}

// decode reads a JSON body of at most maxBody bytes.
func decode(body []byte, to any, kind Kind) error {
	if len(body) > maxBody {
		return fmt.Errorf("message: %d bytes are more than any %s has", len(body), kind)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("message: read the %s: %w", kind, err)
	}
	return nil
}

func shorten(texts ...*string) {
	for _, text := range texts {
		*text = Short(*text, MaxText)
	}
}
