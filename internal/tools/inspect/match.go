package inspect

import (
	"bytes"
	"iter"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/message"
)

// wanted is what is being searched for.
type wanted struct {
	forms  []string // as given, and with percent-encoding undone once and twice
	hidden bool     // its JSON form needs an escape
}

func newWanted(what string) wanted {
	w := wanted{forms: []string{what}}
	for range 2 { // uuids are encoded twice in the paths of Zoom's API
		plain, err := url.PathUnescape(what)
		if err != nil || plain == what {
			break
		}
		w.forms = append(w.forms, plain)
		what = plain
	}
	for _, form := range w.forms {
		w.hidden = w.hidden || strings.ContainsFunc(form, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' })
	}
	return w
}

func (w wanted) is(value string) bool {
	for _, form := range w.forms {
		if value == form {
			return true
		}
	}
	return false
}

// headersSearched are the headers compared with what is searched for.
var headersSearched = []string{message.HeaderID, message.HeaderTrackingID, message.HeaderRequestID, message.HeaderEvent}

// header returns the name of the first matching header; empty: none.
func (w wanted) header(h nats.Header) string {
	for _, name := range headersSearched {
		if values := h[name]; len(values) > 0 && w.is(values[0]) {
			return name
		}
	}
	return ""
}

// inBodies matches what none of these headers can be: the uuid and the number of a meeting.
var inBodies = regexp.MustCompile(`^([A-Za-z0-9+/]{22}==|[0-9]{8,12})$`)

// onlyInBodies reports whether searching the headers is pointless.
func (w wanted) onlyInBodies() bool {
	for _, form := range w.forms {
		if inBodies.MatchString(form) {
			return true
		}
	}
	return false
}

// contained reports whether the text may contain what is searched for. It is fast, and has no false
// negatives.
func (w wanted) contained(text []byte) bool {
	for _, form := range w.forms {
		if bytes.Contains(text, []byte(form)) {
			return true
		}
	}
	return w.hidden || bytes.Contains(text, []byte(`\u`)) || bytes.Contains(text, []byte(`\/`))
}

// body returns the place in an event's body, such as payload.object.uuid, of the first matching
// value; empty: none. It compares all strings in payload, and payload.object.id if it is a number.
func (w wanted) body(body []byte) string {
	place := w.place(body, func(kind jsontext.Kind, place jsontext.Pointer) bool {
		return kind == '"' && strings.HasPrefix(string(place), "/payload/") || place == "/payload/object/id"
	})
	return strings.Join(slices.Collect(place.Tokens()), ".")
}

// place returns the first place in an event's body that counts and matches; empty: none.
func (w wanted) place(body []byte, counts func(jsontext.Kind, jsontext.Pointer) bool) jsontext.Pointer {
	if !w.contained(body) {
		return ""
	}
	for dec, token := range values(body) {
		if w.is(token.String()) && counts(token.Kind(), dec.StackPointer()) {
			return dec.StackPointer()
		}
	}
	return ""
}

// values yields the strings and numbers of a body, up to where it stops being JSON. The decoder is
// positioned at the value.
func values(body []byte) iter.Seq2[*jsontext.Decoder, jsontext.Token] {
	return func(yield func(*jsontext.Decoder, jsontext.Token) bool) {
		dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			token, err := dec.ReadToken()
			if err != nil {
				return // end of the body, or no JSON from here on
			}
			if kind := token.Kind(); kind != '"' && kind != '0' || isName(dec) {
				continue
			}
			if !yield(dec, token) {
				return
			}
		}
	}
}

// isName reports whether the token just read is a member's name.
func isName(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 1
}

// shortest is the minimum length, in bytes, of what is searched for anywhere in a frame.
const shortest = 6

// in reports whether a frame, which need not be JSON, contains what is searched for: as it is, or
// with slashes escaped as in some JSON.
func (w wanted) in(frame []byte) bool {
	for _, form := range w.forms {
		if len(form) < shortest {
			continue
		}
		if bytes.Contains(frame, []byte(form)) || bytes.Contains(frame, []byte(strings.ReplaceAll(form, "/", `\/`))) {
			return true
		}
	}
	return false
}
