package zoom

import (
	"strconv"
	"time"
)

// A time that Zoom states counts if it lies between these: its documentation has
// some in other units, and tests of apps send any number.
const (
	oldest = 366 * 24 * time.Hour // before the receipt
	newest = time.Hour            // after it: clocks differ
)

// plausible is a time, or zero if it cannot be that of a frame received at the
// given one.
func plausible(at, received time.Time) time.Time {
	if before := received.Sub(at); before > oldest || before < -newest {
		return time.Time{}
	}
	return at
}

// sent is when Zoom says that it sent the frame. It counts in seconds.
func (h Header) sent(received time.Time) time.Time {
	seconds, err := strconv.ParseInt(h.Timestamp, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return plausible(time.Unix(seconds, 0), received)
}

// lateRead is how much older than its receipt a frame is at least that was read late.
// Zoom counts in whole seconds, and clocks differ.
const lateRead = 2 * time.Second

// ReadFrom is the time from which on what Zoom sent may be unread, given when a frame
// was received and when Zoom says that it sent it: a process that stood still, or was
// not able to read, has more frames waiting behind that one.
func ReadFrom(sent, received time.Time) time.Time {
	if sent.IsZero() || received.Sub(sent) < lateRead {
		return received
	}
	return sent
}

// SentBy is no later than when Zoom sent a frame that was received at a time (zero: there
// is none) and is not dealt with yet: by Zoom's own clock, unless it has only just come.
func SentBy(sent, received time.Time) time.Time {
	const onItsWay = 250 * time.Millisecond
	if sent.Before(received) && !sent.IsZero() && time.Since(received) > onItsWay {
		return sent
	}
	return ReadFrom(sent, received)
}

// Happened is when an event says that it did, as in Frame; zero if it does not.
func Happened(body []byte, received time.Time) time.Time {
	var d decoder
	e, err := d.event(envelope{kind: '{', content: body})
	if err != nil {
		return time.Time{}
	}
	return plausible(time.UnixMilli(e.happened), received)
}
