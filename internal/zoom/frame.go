package zoom

import (
	"bytes"
	"errors"
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

// maxHeaderValue bounds a value of the header in the frame. Zoom's have up to 100 bytes.
const maxHeaderValue = 4096

// maxEventName bounds the event name; Zoom's longest known one has 58 bytes.
const maxEventName = 1024

// Frame is a received frame that carries an event, or is malformed.
type Frame struct {
	Event    string // name of the event
	Body     []byte // the event's exact bytes; the receiver may keep it
	Header   Header
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

// envelope is a decoded frame of any module.
type envelope struct {
	module  string
	agreed  bool   // success is true
	refused bool   // success is false
	event   bool   // it names an event itself, beside or instead of its content
	content []byte // decoded if it is a string, else the raw JSON value
	kind    jsontext.Kind
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
	json  jsontext.Decoder
	in    bytes.Buffer
	names map[string]string // of events, so that each is in memory once
}

// keepNames bounds how many names of events are kept. Zoom has about 600.
const keepNames = 1024

// Zoom documents a body with a duplicated key, and a body that is no valid
// UTF-8 must still be published.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func (d *decoder) reset(data []byte) {
	d.in = *bytes.NewBuffer(data) // the tokeniser reads a bytes.Buffer in place
	d.json.Reset(&d.in, lenient...)
}

// envelope reads the outer object. Unknown keys are skipped; of a repeated key
// the last counts.
func (d *decoder) envelope(raw []byte) (envelope, error) {
	var env envelope
	var module jsontext.Value
	var header rawHeader
	d.reset(raw)
	err := d.object(func(name []byte) error {
		switch string(name) {
		case "module":
			return d.text(&module, "module")
		case "success":
			return d.success(&env)
		case "content":
			value, err := d.json.ReadValue()
			if err != nil {
				return err
			}
			env.kind = value.Kind()
			env.content = unquote(value)
			return nil
		case "header":
			return d.header(&header)
		case "event":
			env.event = true
		}
		return d.json.SkipValue()
	}, "frame")
	env.module = moduleName(literal(module))
	env.header = header.decode()
	if err != nil {
		return env, err
	}
	if env.module == "" {
		return env, &Malformed{"module", "the frame has no module"}
	}
	return env, nil
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

// event reads the name of the event from a message's content: the top-level
// key event, exactly so spelled, wherever it stands. Of a repeated key the
// last counts, as in what consumers parse with. Beside it stands the time of the
// event, in milliseconds; 0 if there is none.
func (d *decoder) event(env envelope) (name string, happened int64, err error) {
	switch env.kind {
	case '"', '{':
	case 0:
		return "", 0, &Malformed{"content", "the message has no content"}
	default:
		return "", 0, &Malformed{"content", "content is neither a string nor an object but " + env.kind.String()}
	}
	var value jsontext.Value
	d.reset(env.content)
	err = d.object(func(key []byte) error {
		switch string(key) {
		case "event":
			return d.text(&value, "event")
		case "event_ts":
			return d.milliseconds(&happened)
		}
		return d.json.SkipValue()
	}, "content")
	if err != nil {
		return "", 0, err
	}
	text := literal(value)
	if len(text) == 0 {
		return "", 0, &Malformed{"event", "content has no event name"}
	}
	if len(text) > maxEventName {
		return "", 0, &Malformed{"event", fmt.Sprintf("the event name has %d bytes, more than %d", len(text), maxEventName)}
	}
	return d.name(text), happened, nil
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
func (d *decoder) carriesEvent(env envelope) bool {
	found := env.event
	if env.kind == '"' || env.kind == '{' {
		d.reset(env.content)
		d.object(func(key []byte) error { //nolint:errcheck // text that is no JSON carries none
			found = found || string(key) == "event"
			return d.json.SkipValue()
		}, "content")
	}
	return found
}

// stray is why a frame that is no message is kept all the same: nobody knows what
// it may hold. nil: it is what Zoom's own answers are.
func stray(env envelope, event bool) error {
	switch {
	case env.module != moduleBuild && env.module != moduleHeartbeat:
		return &Malformed{"module", "the frame is of an unknown module"}
	case event:
		return &Malformed{"module", fmt.Sprintf("the frame carries an event, but its module is %s", env.module)}
	}
	return nil
}

// object reads one object to the end of the input; member is called with the
// reader before each value.
func (d *decoder) object(member func(name []byte) error, what string) error {
	if kind := d.json.PeekKind(); kind != '{' && kind != jsontext.KindInvalid {
		return &Malformed{"not_json", fmt.Sprintf("the %s is not an object but %s", what, kind)}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return notJSON(what, err)
	}
	for d.json.PeekKind() == '"' {
		name, err := d.json.ReadValue()
		if err != nil {
			return notJSON(what, err)
		}
		if err := member(literal(name)); err != nil {
			return notJSON(what, err)
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return notJSON(what, err)
	}
	if d.json.StackDepth() > 0 {
		return nil // an inner object
	}
	if _, err := d.json.ReadToken(); err == nil {
		return &Malformed{"not_json", "the " + what + " holds more than one value"}
	} else if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return notJSON(what, syntax)
	}
	return nil
}

// notJSON wraps an error of the tokeniser, whose text may quote the input.
func notJSON(what string, err error) error {
	if m, ok := errors.AsType[*Malformed](err); ok {
		return m
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return &Malformed{"not_json", "the " + what + " is not JSON: it ends too early"}
	}
	detail := fmt.Sprintf("the %s is not JSON at byte %d", what, syntax.ByteOffset)
	if strings.Contains(syntax.Error(), "depth") {
		detail = fmt.Sprintf("the %s is nested too deeply at byte %d", what, syntax.ByteOffset)
	}
	return &Malformed{"not_json", detail}
}

// text reads a string. Null counts as absent.
func (d *decoder) text(to *jsontext.Value, what string) error {
	value, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	switch value.Kind() {
	case '"':
		*to = value
	case 'n':
		*to = nil
	default:
		return &Malformed{what, fmt.Sprintf("%s is not a string but %s", what, value.Kind())}
	}
	return nil
}

// literal is the text of a string, and any other value as it stands. It may share
// the value's memory. Bytes that are no UTF-8 become U+FFFD.
func literal(value jsontext.Value) []byte {
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
func (d *decoder) milliseconds(to *int64) error {
	if kind := d.json.PeekKind(); kind == '{' || kind == '[' {
		return d.json.SkipValue()
	}
	value, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	*to, _ = strconv.ParseInt(string(literal(value)), 10, 64)
	return nil
}

func (d *decoder) success(env *envelope) error {
	kind := d.json.PeekKind()
	if kind == '{' || kind == '[' {
		return d.json.SkipValue()
	}
	env.agreed, env.refused = kind == 't', kind == 'f'
	_, err := d.json.ReadToken()
	return err
}

// rawHeader has the values of a Header's fields, in their order, as they stand in the
// frame.
type rawHeader [5]jsontext.Value

// header reads the allow-listed keys without regard to case: Zoom spells them
// differently on its two transports. A number is taken as its digits. What cannot
// be read is as absent: an event counts more than what is said about it.
func (d *decoder) header(to *rawHeader) error {
	if kind := d.json.PeekKind(); kind != '{' {
		return d.json.SkipValue()
	}
	return d.object(func(name []byte) (err error) {
		field, kind := to.field(name), d.json.PeekKind()
		if field == nil || kind != '"' && kind != '0' {
			return d.json.SkipValue()
		}
		*field, err = d.json.ReadValue()
		return err
	}, "header")
}

func (r *rawHeader) field(name []byte) *jsontext.Value {
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
