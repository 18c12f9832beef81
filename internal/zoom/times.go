package zoom

import (
	"strconv"
	"time"
)

// A time that Zoom states counts only within these bounds: Zoom's documentation has
// times in other units, and tests of apps send any number.
const (
	oldest = 366 * 24 * time.Hour // before the receipt
	newest = time.Hour            // after it: clocks differ
)

// plausible returns at, or the zero time if that is implausible for a frame received
// at the given time.
func plausible(at, received time.Time) time.Time {
	if before := received.Sub(at); before > oldest || before < -newest {
		return time.Time{}
	}
	return at
}

// sent is when Zoom says that it sent the frame, to the second; zero if it does not
// say, or if that is implausible.
func (h Header) sent(received time.Time) time.Time {
	seconds, err := strconv.ParseInt(h.Timestamp, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return plausible(time.Unix(seconds, 0), received)
}

// lateRead is the least delay, from sending to receipt, of a frame that counts as read
// late. Zoom counts in whole seconds, and clocks differ.
const lateRead = 2 * time.Second

// ReadFrom is the time from which frames that Zoom sent may be unread, given when Zoom
// sent a frame (zero: unknown) and when it was received. A process that stood still, or
// could not read, has more frames waiting behind that one.
func ReadFrom(sent, received time.Time) time.Time {
	if sent.IsZero() || received.Sub(sent) < lateRead {
		return received
	}
	return sent
}

// SentBy is a time no later than when Zoom sent a frame that is not yet dealt with, given
// when it was received (zero: there is none). It is the time on Zoom's clock, unless the
// frame has only just arrived.
func SentBy(sent, received time.Time) time.Time {
	const onItsWay = 250 * time.Millisecond
	if sent.Before(received) && !sent.IsZero() && time.Since(received) > onItsWay {
		return sent
	}
	return ReadFrom(sent, received)
}

// Happened is when the event with this body happened, as in [Frame]; zero if it does not
// say, or if that is implausible.
func Happened(body []byte, received time.Time) time.Time {
	var d decoder
	e, err := d.event(envelope{kind: '{', content: body})
	if err != nil {
		return time.Time{}
	}
	return plausible(time.UnixMilli(e.happened), received)
}
