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

// maxModule bounds the module's name, which is logged if it is unknown.
const maxModule = 64

// maxHeaderValue bounds a value of the header in the frame, and a key of the event, as they
// stand. Zoom's have up to 100 bytes.
const maxHeaderValue = 4096

// maxEventName bounds the event name; Zoom's longest known one has 58 bytes.
const maxEventName = 1024

// Frame is a received frame that carries an event, or is malformed.
type Frame struct {
	Event    string // name of the event
	Body     []byte // the event's exact bytes; the receiver may keep it
	Header   Header
	Keys     Keys
	Happened time.Time // when Zoom says that it did (event_ts); zero: it does not
	Sent     time.Time // when Zoom sent it, to the second (x-zm-request-timestamp); zero: it does not say
	Received time.Time

	// Err says why the frame is malformed; then Raw is all there is, apart
	// from what could be read before.
	Err error
	// Raw is the whole frame as it came, valid only during the call. It holds
	// credentials.
	Raw []byte
	// Size is the frame's length in bytes; more than len(Raw) if it was over
	// the read limit and cut.
	Size int
}

// Header holds the parts of a frame's header that may leave the process. The
// header also carries Authorization and clientId, which are never kept.
type Header struct {
	TrackingID  string // x-zm-trackingid
	Timestamp   string // x-zm-request-timestamp, epoch seconds
	Signature   string // x-zm-signature
	RequestID   string // x-zm-request-id
	Traceparent string // traceparent (W3C Trace Context)
}

// Keys are what an event's body says of whom and what the event is about: the texts of
// strings, and numbers as they stand. A key is empty if the body does not have it, or has
// something else there. They may share the body's memory.
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
	event   bool          // it names an event itself, beside or instead of its content
	content []byte        // decoded if it is a string, else the raw JSON value
	kind    jsontext.Kind // of content in the frame
	header  Header
}

// Malformed is why a frame is not an event. Its text holds nothing of the
// frame but positions and types.
type Malformed struct {
	Reason string // one of a few, for a metric: not_json, module, content, event, too_large
	Detail string
}

func (m *Malformed) Error() string { return m.Detail }

// decoder decodes frames; one serves one session at a time.
type decoder struct {
	text  []byte            // of the content last read; its memory is used again
	names map[string]string // of events, so that each is in memory once
}

// keepNames bounds how many names of events are kept. Zoom has about 600.
const keepNames = 1024

// envelope reads the outer object. Unknown keys are skipped; of a repeated key
// the last counts.
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

// content reads the value of content into memory of its own: a string's text, with all
// bytes as they came, or else the value as it stands.
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

// eventFields is what is read of an event.
type eventFields struct {
	name     string
	happened int64 // event_ts, in milliseconds; 0: there is none
	keys     Keys
}

// event reads a message's content: the name of the event, which is the value of the
// top-level key event, exactly so spelled, wherever it stands, and what else is there. Of
// a repeated key the last counts, as in what consumers parse with.
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

// readPayload reads the keys of the payload that follows.
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

// readObject reads the keys of the object that follows. Some events have an array there,
// of several objects, none of which is the one that the event is about.
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

// key is the text of a string or a number; nil: it is something else, or too long.
func key(value []byte) []byte {
	if len(value) == 0 || len(value) > maxHeaderValue {
		return nil
	}
	if c := value[0]; c != '"' && c != '-' && (c < '0' || c > '9') {
		return nil
	}
	return literal(value)
}

// name is the string of an event's name.
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

// carriesEvent reports whether there is an event in a frame of whatever module, be
// it one that can be read or not.
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

// unexpectedModule is why a frame that is no message is kept all the same: nobody knows what
// it may hold. nil: it is what Zoom's own answers are.
func unexpectedModule(env envelope, event bool) error {
	switch {
	case env.module != moduleBuild && env.module != moduleHeartbeat:
		return &Malformed{"module", "the frame is of an unknown module"}
	case event:
		return &Malformed{"module", fmt.Sprintf("the frame carries an event, but its module is %s", env.module)}
	}
	return nil
}

// literal is the text of a string, and any other value as it stands. It may share
// the value's memory. Bytes that are no UTF-8 become U+FFFD.
func literal(value []byte) []byte {
	if len(value) == 0 || value[0] != '"' {
		return value
	}
	within := value[1 : len(value)-1]
	for _, c := range within {
		if c == '\\' || c >= utf8.RuneSelf {
			text, _ := jsontext.AppendUnquote(nil, value) // its only error is of bytes that are no UTF-8
			return text
		}
	}
	return within
}

// milliseconds reads a time, which some producers at Zoom send as a string. What
// is no whole number is no time, and no reason to refuse the event.
func milliseconds(value []byte, to *int64) {
	if len(value) > 0 && value[0] != '{' && value[0] != '[' {
		*to, _ = strconv.ParseInt(string(literal(value)), 10, 64)
	}
}

// rawHeader has the values of a Header's fields, in their order, as they stand in the
// frame.
type rawHeader [5][]byte

// read reads the allow-listed keys without regard to case: Zoom spells them
// differently on its two transports. A number is taken as its digits. What cannot
// be read is as absent: an event counts more than what is said about it.
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

// decode returns the header's strings, which are parts of one: they are a single
// allocation.
func (r *rawHeader) decode() (h Header) {
	size := 0
	for i, value := range r {
		if len(value) > maxHeaderValue {
			r[i] = nil // the others would keep it in memory
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
