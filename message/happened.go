package message

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Happened returns when an event happened according to event_ts in its body, which is in
// milliseconds. It is zero if there is none, or none that is [Plausible] for an event
// received at the given time.
func Happened(body []byte, received time.Time) time.Time {
	milliseconds, err := strconv.ParseInt(strings.Trim(string(member(body, "event_ts")), `"`), 10, 64) // some are strings
	if err != nil {
		return time.Time{}
	}
	return Plausible(time.UnixMilli(milliseconds), received)
}

// Plausible returns at in UTC, or the zero time if that is over 366 days before received or
// over an hour after it. Not every time that Zoom states is one: its documentation has some
// in other units, and tests of apps send any number.
func Plausible(at, received time.Time) time.Time {
	const before, after = 366 * 24 * time.Hour, time.Hour // clocks differ
	if age := received.Sub(at); age > before || age < -after {
		return time.Time{}
	}
	return at.UTC()
}

// member returns the value of a top-level member of a JSON object, the last one if it is
// repeated, or nil if there is none.
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
