package zoomsim

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/nearest"
)

// ErrUnknownEvent is the error for an event whose name no public source knows.
var ErrUnknownEvent = errors.New("unknown event")

//go:embed samples.jsonl
var samplesFile []byte

// Samples returns 96 fictitious bodies in the shapes of real captures and of Zoom's documented
// samples, byte for byte as they would be sent. The first 14 have captured shapes.
func Samples() [][]byte {
	return bytes.Split(bytes.TrimRight(bytes.Clone(samplesFile), "\n"), []byte("\n"))
}

// CheckName returns an [ErrUnknownEvent] that suggests the nearest names, if no public source knows
// an event of this name.
func CheckName(name string) error {
	if eventnames.Known(name) {
		return nil
	}
	near := nearest.Sort(name[:min(len(name), 100)], eventnames.All(), func(known string) string { return known })
	return fmt.Errorf("%w %.100q; did you mean %s?", ErrUnknownEvent, name, strings.Join(near[:3], ", "))
}

// Body returns a plausible body of any event: the sample with that name if there is one, otherwise
// a small made-up body. It is the same at every call.
func Body(name string) []byte {
	member := []byte(`"event":"` + name + `"`)
	for body := range bytes.Lines(samplesFile) {
		if bytes.Contains(body, member) && eventName(body) == name {
			return bytes.Clone(bytes.TrimRight(body, "\n"))
		}
	}
	return SizedBody(name, 0)
}

// SizedBody returns a body of the event with exactly size bytes, provided that this exceeds the 150
// or so bytes it needs.
func SizedBody(name string, size int) []byte {
	b := appendQuoted([]byte(`{"event":`), name)
	b = append(b, `,"event_ts":1790985356750,"payload":{"account_id":"QmT7xVb2RkaLw0Zp9sYd1g","object":{"id":"86017254931","topic":"`...)
	const end = `"}}}`
	b = append(b, strings.Repeat("x", max(0, size-len(b)-len(end)))...)
	return append(b, end...)
}

// template makes bodies from one, with a new event_ts and a number that makes each unique. The rest
// of the text stays unchanged.
type template struct {
	name string
	head []byte // up to the value of event_ts; without one, up to the closing brace
	ts   bool   // event_ts is between head and tail
	tail []byte // empty: not a JSON object, so nothing is inserted
}

func newTemplate(body []byte) *template {
	t := &template{name: eventName(body), head: body}
	if start, end, ok := findTimestamp(body); ok {
		t.head, t.ts, t.tail = body[:start], true, body[end:]
	} else if brace := bytes.LastIndexByte(body, '}'); brace >= 0 && t.name != "" {
		t.head, t.tail = body[:brace], body[brace:]
	}
	return t
}

// body returns the body with another event_ts, if it has one, and with the member "sim_seq", if seq
// is not 0. It is inserted after event_ts, or else last, so that an event name in first place stays
// there.
func (t *template) body(seq int64, ts time.Time) []byte {
	b := append(make([]byte, 0, len(t.head)+len(t.tail)+48), t.head...)
	tail := t.tail
	if t.ts {
		b = strconv.AppendInt(b, ts.UnixMilli(), 10)
		if bytes.HasPrefix(tail, []byte(`"`)) { // some events have it as a string
			b, tail = append(b, '"'), tail[1:]
		}
	}
	if seq > 0 && len(tail) > 0 {
		b = append(b, `,"sim_seq":`...)
		b = strconv.AppendInt(b, seq, 10)
	}
	return append(b, tail...)
}

// findTimestamp finds the value of the member "event_ts", excluding the quotes if it is a string.
func findTimestamp(body []byte) (start, end int, ok bool) {
	start, end, ok = member(body, "event_ts")
	if ok && body[start] == '"' {
		start, end = start+1, end-1
	}
	return start, end, ok
}
