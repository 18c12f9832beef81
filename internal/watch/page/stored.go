package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/message"
)

// ErrNotThere says that the stream does not have the message.
var ErrNotThere = errors.New("it is no longer in the stream")

// Stored is a whole message of the stream. It holds personal data.
type Stored struct {
	Seq     uint64    `json:"seq"`
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
	Headers []Header  `json:"headers"` // by name
	Body    string    `json:"body"`    // for people: JSON is indented
	Bytes   int       `json:"bytes"`   // size of the body as stored
	Cut     bool      `json:"cut,omitempty"`
}

// Header is one value of a header.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const (
	maxHeaders = 100
	// maxBody bounds the bytes of a body that a browser gets. JSON is indented only up to this size
	// and to a depth of deepest, since indentation can multiply the size by the depth.
	maxBody = 256 << 10
	deepest = 64
)

// NewStored makes a Stored of a message, within the limits.
func NewStored(seq uint64, subject string, at time.Time, headers map[string][]string, body []byte) *Stored {
	s := &Stored{Seq: seq, Subject: message.Short(subject, MaxText), At: at.UTC(), Headers: []Header{}, Body: pretty(body), Bytes: len(body)}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			if len(s.Headers) < maxHeaders {
				s.Headers = append(s.Headers, Header{message.Short(name, MaxText), message.Short(value, MaxText)})
			}
		}
	}
	if s.Cut = len(s.Body) > maxBody; s.Cut {
		s.Body = strings.ToValidUTF8(s.Body[:maxBody], "") // do not cut a character in half
	}
	return s
}

// pretty formats a body for people.
func pretty(body []byte) string {
	var out bytes.Buffer
	if len(body) > maxBody {
		return strings.ToValidUTF8(string(body[:min(len(body), maxBody+utf8.UTFMax)]), "\ufffd") // longer than maxBody, so that the caller sees the need to cut
	}
	if depth(body) > deepest || json.Indent(&out, body, "", "  ") != nil {
		return strings.ToValidUTF8(string(body), "\ufffd")
	}
	return strings.ToValidUTF8(out.String(), "\ufffd")
}

// depth returns the maximum nesting of objects and lists in JSON.
func depth(text []byte) (most int) {
	now, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
