package zoomsim

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

//go:embed samples.jsonl
var samplesFile []byte

//go:embed event-names.txt
var namesFile string

// Samples are 96 fictitious bodies in the shapes of real captures and of Zoom's
// documented samples, byte for byte as they would be sent. The first 14 are of
// captured shapes.
func Samples() [][]byte {
	return bytes.Split(bytes.TrimRight(bytes.Clone(samplesFile), "\n"), []byte("\n"))
}

// EventNames are the 585 event names known from public sources, sorted.
func EventNames() []string { return strings.Fields(namesFile) }

// Body is a plausible body of any event: the sample of that name if there is
// one, else a small made-up one. It is the same at every call.
func Body(name string) []byte {
	member := []byte(`"event":"` + name + `"`)
	for body := range bytes.Lines(samplesFile) {
		if bytes.Contains(body, member) && eventName(body) == name {
			return bytes.Clone(bytes.TrimRight(body, "\n"))
		}
	}
	b := append([]byte(nil), `{"event":`...)
	b = appendQuoted(b, name)
	return append(b, `,"event_ts":1790985356750,"payload":{"account_id":"QmT7xVb2RkaLw0Zp9sYd1g",`+
		`"object":{"id":"86017254931","uuid":"+q/7Zk1dQvGm0yT4nB9x3A==","host_id":"nnzjVwwjHXRc7jRPmagshy"}}}`...)
}

// SizedBody is a body of the event with exactly size bytes, if that is more
// than the 150 or so that it needs.
func SizedBody(name string, size int) []byte {
	b := append([]byte(nil), `{"event":`...)
	b = appendQuoted(b, name)
	b = append(b, `,"event_ts":1790985356750,"payload":{"account_id":"QmT7xVb2RkaLw0Zp9sYd1g","object":{"id":"86017254931","topic":"`...)
	const end = `"}}}`
	b = append(b, strings.Repeat("x", max(0, size-len(b)-len(end)))...)
	return append(b, end...)
}

// template makes bodies out of one: with a new event_ts, and with a number
// that makes each unique. Nothing else of the text is touched.
type template struct {
	name       string
	head, tail []byte // around the value of event_ts; all in tail without one
	hasTS      bool
	quotedTS   bool // some events have it as a string
	seqAt      int  // in head (before the key event_ts), or in tail without one; 0: no object
	comma      bool // without event_ts: members stand before seqAt
}

func newTemplate(body []byte) *template {
	t := &template{name: eventName(body), tail: body}
	if ts, ok := findField(body, "event_ts"); ok {
		t.hasTS = true
		t.head, t.tail = body[:ts.start], body[ts.end:]
		t.quotedTS = body[ts.start] == '"'
		t.seqAt = ts.key
		return t
	}
	if end := bytes.LastIndexByte(body, '}'); end >= 0 && json.Valid(body) && bytes.TrimSpace(body)[0] == '{' {
		t.seqAt = end
		t.comma = !bytes.HasSuffix(bytes.TrimSpace(body[:end]), []byte("{"))
	}
	return t
}

// stamped is the body with another event_ts, if it has one.
func (t *template) stamped(ts time.Time) []byte {
	b := make([]byte, 0, len(t.head)+len(t.tail)+16)
	if t.hasTS {
		b = append(b, t.head...)
		b = t.appendTS(b, ts)
	}
	return append(b, t.tail...)
}

// fresh is the body with another event_ts and the member "sim_seq", put before
// event_ts or else last, so that an event that comes first or last stays there.
func (t *template) fresh(seq int64, ts time.Time) []byte {
	b := make([]byte, 0, len(t.head)+len(t.tail)+64)
	if t.hasTS {
		b = append(b, t.head[:t.seqAt]...)
		b = append(b, `"sim_seq":`...)
		b = strconv.AppendInt(b, seq, 10)
		b = append(b, ',')
		b = append(b, t.head[t.seqAt:]...)
		b = t.appendTS(b, ts)
		return append(b, t.tail...)
	}
	if t.seqAt == 0 {
		return append(b, t.tail...) // not an object: as it is
	}
	b = append(b, t.tail[:t.seqAt]...)
	if t.comma {
		b = append(b, ',')
	}
	b = append(b, `"sim_seq":`...)
	b = strconv.AppendInt(b, seq, 10)
	return append(b, t.tail[t.seqAt:]...)
}

func (t *template) appendTS(b []byte, ts time.Time) []byte {
	if !t.quotedTS {
		return strconv.AppendInt(b, ts.UnixMilli(), 10)
	}
	b = append(b, '"')
	b = strconv.AppendInt(b, ts.UnixMilli(), 10)
	return append(b, '"')
}
