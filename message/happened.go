package message

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Happened returns when an event says that it happened: event_ts of its body, in
// milliseconds. It is zero if the event does not say, or if that cannot be for one that
// was received at the given time.
func Happened(body []byte, received time.Time) time.Time {
	milliseconds, err := strconv.ParseInt(strings.Trim(string(member(body, "event_ts")), `"`), 10, 64) // some are strings
	if err != nil {
		return time.Time{}
	}
	return Plausible(time.UnixMilli(milliseconds), received)
}

// Plausible returns a time that Zoom states, or zero if it cannot be that of an event
// received at the given time: Zoom's documentation has some in other units, and tests of
// apps send any number.
func Plausible(at, received time.Time) time.Time {
	const before, after = 366 * 24 * time.Hour, time.Hour // clocks differ
	if age := received.Sub(at); age > before || age < -after {
		return time.Time{}
	}
	return at.UTC()
}

// member returns the value of a top-level member of a JSON object, of a repeated one the
// last; nil: there is none.
func member(body []byte, name string) []byte {
	in := json.NewDecoder(bytes.NewReader(body))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var found json.RawMessage
	for in.More() {
		key, err := in.Token()
		var value json.RawMessage
		if err != nil || in.Decode(&value) != nil {
			break
		}
		if key == name {
			found = value
		}
	}
	return found
}
