package message

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// What a message can have at most.
const (
	// MaxText is how many bytes of a text for people are kept.
	MaxText = 512
	// MaxNumber is beyond all epochs and numbers in one, and exact in any JSON reader.
	MaxNumber = 1 << 53

	maxBody = 64 << 10 // bytes; a gap with its longest texts takes a fifth of it
	// clockSkew is how much later than by the server's clock a replica may say that
	// something was.
	clockSkew = time.Minute
	// longest is beyond all gaps: a connector that was switched off for a year has a true
	// one of a year.
	longest = 10 * 365 * 24 * time.Hour
)

// earliest is before all that zoomstream can tell of.
var earliest = time.Unix(0, 0)

// Short returns at most so many bytes of a text, and an ellipsis where it is longer. It
// shares no memory with a longer one.
func Short(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max] + "…"
}

// Clamp moves a time into what can have been up to the latest one: no later, and not
// ten years before. The zero time stays.
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

// decode reads a JSON body.
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
