package zoom

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The modules of Zoom's frames.
const (
	moduleBuild     = "build_connection"
	moduleHeartbeat = "heartbeat"
	moduleMessage   = "message"
)

// maxModule bounds the module's name, in bytes. An unknown name is logged.
const maxModule = 64

// maxHeaderValue bounds, in bytes of raw JSON, a value in the frame's header and a key of
// the event. Zoom's have up to 100 bytes.
const maxHeaderValue = 4096

// maxEventName bounds the event name, in bytes; Zoom's longest known one has 58.
const maxEventName = 1024

// Frame is a received frame that carries an event, or is malformed.
type Frame struct {
	Event    string // name of the event
	Body     []byte // the event's exact bytes; the receiver may keep it
	Header   Header
	Keys     Keys
	Happened time.Time // when the event happened (event_ts); zero: not stated, or implausible
	Sent     time.Time // when Zoom sent it, to the second (x-zm-request-timestamp); zero: not stated, or implausible
	Received time.Time

	// Err is why the frame is malformed; nil: it is an event. With an error, the
	// other fields hold only what could be read before it.
	Err error
	// Raw is the frame as it came, valid only during the call of the handler. It
	// contains credentials.
	Raw []byte
	// Size is the frame's length in bytes. It exceeds len(Raw) if the frame was
	// over the read limit and truncated.
	Size int
}

// Header holds the parts of a frame's header that may leave the process. The
// frame's Authorization and clientId are never kept.
type Header struct {
	TrackingID  string // x-zm-trackingid
	Timestamp   string // x-zm-request-timestamp, epoch seconds
	Signature   string // x-zm-signature
	RequestID   string // x-zm-request-id
	Traceparent string // traceparent (W3C Trace Context)
}

// Keys identify the account and the object that an event is about. A key is the text of a
// string or the digits of a number. It is empty if the body lacks it or has another type
// there. Keys may share the body's memory.
type Keys struct {
	Account    []byte // payload.account_id
	Object     []byte // payload.object.id
	ObjectUUID []byte // payload.object.uuid
}

// envelope is a decoded frame of any module.
type envelope struct {
	module  string
	agreed  bool          // success is true
	refused bool          // success is false
	event   bool          // it has a member "event" itself, besides or instead of its content
	content []byte        // decoded if it is a string, otherwise the raw JSON value
	kind    jsontext.Kind // of content in the frame
	header  Header
}

// Malformed is why a frame is not an event. Its text contains nothing from the
// frame but positions, sizes, types and known names.
type Malformed struct {
	Reason string // not_json, module, content, event or too_large; for the header Zoom-Reason-Code
	Detail string
}

func (m *Malformed) Error() string { return m.Detail }

// decoder decodes frames; one serves one session at a time.
type decoder struct {
	text  []byte            // of the content last read; its memory is reused
	names map[string]string // of events, so that each is in memory once
}

// keepNames bounds the number of event names that are kept. Zoom has about 600.
const keepNames = 1024

// envelope parses the outer object. It skips unknown members; the last of repeated
// ones counts.
func (d *decoder) envelope(raw []byte) (env envelope, err error) {
	var module []byte
	var header rawHeader
	s := newScanner(raw)
	for s.open('{'); err == nil && s.more('}'); {
		switch string(literal(s.name())) {
		case "module":
			err = s.string(&module, "module")
		case "success":
			if kind := s.kind(); kind != '{' && kind != '[' {
				env.agreed, env.refused = kind == 't', kind == 'f'
			}
			s.value()
		case "content":
			d.content(&s, &env)
		case "header":
			header.read(&s)
		case "event":
			env.event = true
			s.value()
		default:
			s.value()
		}
	}
	env.module = moduleName(module)
	env.header = header.decode()
	if err == nil {
		err = s.end("frame")
	}
	if err == nil && env.module == "" {
		err = &Malformed{"module", "the frame has no module"}
	}
	return env, err
}

// content copies the value of content: the decoded text of a string, keeping bytes that are
// not UTF-8, or otherwise the raw JSON value.
func (d *decoder) content(s *scanner, env *envelope) {
	kind, value := s.kind(), []byte(nil)
	if s.peek() == '"' {
		d.text = d.text[:0]
		s.quoted(&d.text)
		value = d.text
	} else {
		value = s.value()
	}
	if !s.failed {
		env.kind, env.content = kind, bytes.Clone(value)
	}
}

func moduleName(name []byte) string {
	switch string(name) {
	case moduleMessage:
		return moduleMessage
	case moduleHeartbeat:
		return moduleHeartbeat
	}
	return string(name[:min(len(name), maxModule)])
}

// eventFields are the parsed fields of an event.
type eventFields struct {
	name     string
	happened int64 // event_ts, in milliseconds; 0: there is none
	keys     Keys
}

// event parses a message's content. The event's name is the value of the top-level member
// "event", at any position but with exactly this spelling. The last of repeated members
// counts, as in the parsers that consumers use.
func (d *decoder) event(env envelope) (e eventFields, err error) {
	switch env.kind {
	case '"', '{':
	case 0:
		return e, &Malformed{"content", "the message has no content"}
	default:
		return e, &Malformed{"content", "content is neither a string nor an object but " + env.kind.String()}
	}
	var name []byte
	s := newScanner(env.content)
	for s.open('{'); err == nil && s.more('}'); {
		switch string(literal(s.name())) {
		case "event":
			err = s.string(&name, "event")
		case "event_ts":
			milliseconds(s.value(), &e.happened)
		case "payload":
			e.keys = Keys{}
			e.keys.readPayload(&s)
		default:
			s.value()
		}
	}
	if err == nil {
		err = s.end("content")
	}
	switch {
	case err != nil:
		return eventFields{}, err
	case len(name) == 0:
		return eventFields{}, &Malformed{"event", "content has no event name"}
	case len(name) > maxEventName:
		return eventFields{}, &Malformed{"event", fmt.Sprintf("the event name has %d bytes, more than %d", len(name), maxEventName)}
	}
	e.name = d.name(name)
	return e, nil
}

// readPayload reads the payload, which is next, and takes the keys from it.
func (k *Keys) readPayload(s *scanner) {
	if s.peek() != '{' {
		s.value()
		return
	}
	for s.open('{'); s.more('}'); {
		switch string(literal(s.name())) {
		case "account_id":
			k.Account = key(s.value())
		case "object":
			k.Object, k.ObjectUUID = nil, nil
			k.readObject(s)
		default:
			s.value()
		}
	}
}

// readObject reads payload.object, which is next, and takes the keys from it. Some events
// have an array of several objects there, none of which is what the event is about.
func (k *Keys) readObject(s *scanner) {
	if s.peek() != '{' {
		s.value()
		return
	}
	for s.open('{'); s.more('}'); {
		switch string(literal(s.name())) {
		case "id":
			k.Object = key(s.value())
		case "uuid":
			k.ObjectUUID = key(s.value())
		default:
			s.value()
		}
	}
}

// key is the text of a string or a number; nil if the value is something else or too long.
func key(value []byte) []byte {
	if len(value) == 0 || len(value) > maxHeaderValue {
		return nil
	}
	if c := value[0]; c != '"' && c != '-' && (c < '0' || c > '9') {
		return nil
	}
	return literal(value)
}

// name returns an event's name as a string that all frames with this name share.
func (d *decoder) name(text []byte) string {
	if name, known := d.names[string(text)]; known {
		return name
	}
	if d.names == nil || len(d.names) == keepNames {
		d.names = make(map[string]string)
	}
	name := string(text)
	d.names[name] = name
	return name
}

// carriesEvent reports whether a frame of any module contains an event, even if the rest
// of the frame cannot be parsed.
func carriesEvent(env envelope) bool {
	found := env.event
	if env.kind == '"' || env.kind == '{' {
		s := newScanner(env.content)
		for s.open('{'); s.more('}'); s.value() {
			found = found || string(literal(s.name())) == "event"
		}
	}
	return found
}

// unexpectedModule is why a frame that is not a message is kept as malformed: nobody knows
// what it contains. It is nil for Zoom's usual answers.
func unexpectedModule(env envelope, event bool) error {
	switch {
	case env.module != moduleBuild && env.module != moduleHeartbeat:
		return &Malformed{"module", "the frame is of an unknown module"}
	case event:
		return &Malformed{"module", fmt.Sprintf("the frame carries an event, but its module is %s", env.module)}
	}
	return nil
}

// literal is the decoded text of a string, or any other value as raw JSON. It may share
// the value's memory. Bytes that are not UTF-8 become U+FFFD.
func literal(value []byte) []byte {
	if len(value) == 0 || value[0] != '"' {
		return value
	}
	within := value[1 : len(value)-1]
	for _, c := range within {
		if c == '\\' || c >= utf8.RuneSelf {
			text, _ := jsontext.AppendUnquote(nil, value) // its only possible error is about bytes that are not UTF-8
			return text
		}
	}
	return within
}

// milliseconds parses a time, which some producers at Zoom send as a string. What is
// not a whole number counts as no time; it does not make the event malformed.
func milliseconds(value []byte, to *int64) {
	if len(value) > 0 && value[0] != '{' && value[0] != '[' {
		*to, _ = strconv.ParseInt(string(literal(value)), 10, 64)
	}
}

// rawHeader holds the values of a Header's fields, in the same order, as raw JSON.
type rawHeader [5][]byte

// read reads the allow-listed members, ignoring case: Zoom spells them differently
// on its two transports. A number counts as its digits. What cannot be read counts
// as absent: the event matters more than its metadata.
func (r *rawHeader) read(s *scanner) {
	if s.peek() != '{' {
		s.value()
		return
	}
	for s.open('{'); s.more('}'); {
		field, kind := r.field(literal(s.name())), s.kind()
		if value := s.value(); field != nil && (kind == '"' || kind == '0') {
			*field = value
		}
	}
}

func (r *rawHeader) field(name []byte) *[]byte {
	for i, key := range [...]string{"x-zm-trackingid", "x-zm-request-timestamp", "x-zm-signature", "x-zm-request-id", "traceparent"} {
		if bytes.EqualFold(name, []byte(key)) {
			return &r[i]
		}
	}
	return nil
}

// decode decodes the values. They are parts of one string, in a single allocation.
func (r *rawHeader) decode() (h Header) {
	size := 0
	for i, value := range r {
		if len(value) > maxHeaderValue {
			r[i] = nil // or the other values would keep it in memory
			continue
		}
		size += len(value)
	}
	if size == 0 {
		return Header{}
	}
	var text strings.Builder
	text.Grow(size)
	var ends [len(r)]int
	for i, value := range r {
		text.Write(literal(value))
		ends[i] = text.Len()
	}
	all, from := text.String(), 0
	for i, field := range [...]*string{&h.TrackingID, &h.Timestamp, &h.Signature, &h.RequestID, &h.Traceparent} {
		*field, from = all[from:ends[i]], ends[i]
	}
	return h
}
