package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	eventName  = "meeting.participant_joined"
	subject    = "zoom." + eventName
	filler     = "x" // what SizedBody pads a body with
	trackingID = "v=2.0;clid=us02;rid=WEB_0123456789abcdefABCDEF"
)

// Marks for what differs between events. They are replaced by digits of the same length, so an
// event keeps its size, as a body and inside a frame.
const (
	markNumber   = "N000000000"          // the event's number, from 1
	markSent     = "S000000000000000000" // Unix time in nanoseconds at which it is sent
	markEventAt  = "1790985356750"       // event_ts of SizedBody
	markTracking = "T000000000"          // the number again, at the end of the tracking id
)

// template is the text of an event, stamped anew for each one.
type template struct {
	text                             []byte
	number, sent, eventAt, trackedBy field
	sentAt                           field // x-zm-request-timestamp, in seconds
}

// field is a place for digits; width 0: there is none.
type field struct{ at, width int }

// newBody returns a template of bodies of exactly size bytes.
func newBody(size int) *template { return newTemplate(markedBody(size)) }

// newFrame returns a template of the frames in which Zoom sends such bodies.
func newFrame(size int) *template {
	sim := zoomsim.New(zoomsim.Options{})
	defer sim.Close()
	t := newTemplate(sim.Frame(zoomsim.Event{Name: eventName, Body: markedBody(size), TrackingID: trackingID + markTracking}))
	const name = `"x-zm-request-timestamp":"`
	if at := bytes.LastIndex(t.text, []byte(name)); at >= 0 {
		t.sentAt = field{at + len(name), 10}
	}
	return t
}

func markedBody(size int) []byte {
	marks := markNumber + " " + markSent + " "
	body := zoomsim.SizedBody(eventName, size)
	return bytes.Replace(body, bytes.Repeat([]byte(filler), len(marks)), []byte(marks), 1)
}

func newTemplate(text []byte) *template {
	find := func(mark string) field {
		if at := bytes.Index(text, []byte(mark)); at >= 0 {
			return field{at, len(mark)}
		}
		return field{}
	}
	return &template{text: text, number: find(markNumber), sent: find(markSent), eventAt: find(markEventAt), trackedBy: find(markTracking)}
}

// stamp turns the template's text into that of an event sent now. The result is valid until the
// next call.
func (t *template) stamp(number int64, now time.Time) []byte {
	t.number.put(t.text, number)
	t.trackedBy.put(t.text, number)
	t.sent.put(t.text, now.UnixNano())
	t.eventAt.put(t.text, now.UnixMilli())
	t.sentAt.put(t.text, now.Unix())
	return t.text
}

// read returns the number of an event and its time of sending, from its body.
func (t *template) read(body []byte) (number, sent int64, err error) {
	if len(body) != len(t.text) {
		return 0, 0, fmt.Errorf("a body of %d bytes was stored, %d were sent", len(body), len(t.text))
	}
	return t.number.get(body), t.sent.get(body), nil
}

func (f field) put(text []byte, value int64) {
	for i := f.at + f.width - 1; i >= f.at; i-- {
		text[i] = byte('0' + value%10)
		value /= 10
	}
}

func (f field) get(text []byte) (value int64) {
	for _, c := range text[f.at : f.at+f.width] {
		value = value*10 + int64(c-'0')
	}
	return value
}
