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

// wanted is what is searched for.
type wanted struct {
	forms  []string // as it was given, and with percent-encoding undone once and twice
	hidden bool     // JSON must write it with an escape
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

// headersSearched are the headers of which one must be what is searched for.
var headersSearched = []string{message.HeaderID, message.HeaderTrackingID, message.HeaderRequestID, message.HeaderEvent}

// header is the name of the header that is what is searched for; empty: none.
func (w wanted) header(h nats.Header) string {
	for _, name := range headersSearched {
		if values := h[name]; len(values) > 0 && w.is(values[0]) {
			return name
		}
	}
	return ""
}

// inBodies are the shapes that no header searched has: the uuid and the number of
// a meeting.
var inBodies = regexp.MustCompile(`^([A-Za-z0-9+/]{22}==|[0-9]{8,12})$`)

// onlyInBodies reports whether a look at the headers would be in vain.
func (w wanted) onlyInBodies() bool {
	for _, form := range w.forms {
		if inBodies.MatchString(form) {
			return true
		}
	}
	return false
}

// contained reports whether the text may hold what is searched for. It is quick,
// and never wrong if it says no.
func (w wanted) contained(text []byte) bool {
	for _, form := range w.forms {
		if bytes.Contains(text, []byte(form)) {
			return true
		}
	}
	return w.hidden || bytes.Contains(text, []byte(`\u`)) || bytes.Contains(text, []byte(`\/`))
}

// body is the place in an event's body, such as payload.object.uuid, of the first
// value that is what is searched for; empty: there is none. Values are the strings
// anywhere in payload, and payload.object.id if it is a number.
func (w wanted) body(body []byte) string {
	place := w.place(body, func(kind jsontext.Kind, place jsontext.Pointer) bool {
		return kind == '"' && strings.HasPrefix(string(place), "/payload/") || place == "/payload/object/id"
	})
	return strings.Join(slices.Collect(place.Tokens()), ".")
}

// place is the first of the places in an event's body that count and have what is
// searched for; empty: there is none.
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

// values are the strings and numbers of a body, up to where it is no JSON any more.
// The decoder is where the value stands.
func values(body []byte) iter.Seq2[*jsontext.Decoder, jsontext.Token] {
	return func(yield func(*jsontext.Decoder, jsontext.Token) bool) {
		dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			token, err := dec.ReadToken()
			if err != nil {
				return // the end, or no JSON from here on
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

// isName reports whether the token just read is the name of a member.
func isName(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 1
}

// shortest is the length from which on a text that stands somewhere in a frame is
// taken for what is searched for.
const shortest = 6

// in reports whether what is searched for stands in a frame that need be no JSON:
// as it is, or with the slashes as some write them in JSON.
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
