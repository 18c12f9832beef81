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

// ErrNotThere says that the stream does not have a message.
var ErrNotThere = errors.New("it is not in the stream any more")

// Stored is a message of the stream, whole: it holds personal data.
type Stored struct {
	Seq     uint64    `json:"seq"`
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
	Headers []Header  `json:"headers"` // by name
	Body    string    `json:"body"`    // for people: JSON is indented
	Bytes   int       `json:"bytes"`   // of the body, as it is stored
	Cut     bool      `json:"cut,omitempty"`
}

// Header is one value of a header.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const (
	maxHeaders = 100
	// maxBody is how many bytes of a body a browser gets. JSON is indented if it is no larger,
	// and no deeper than deepest: indented, it may be as many times larger.
	maxBody = 256 << 10
	deepest = 64
)

// NewStored makes a bounded Stored of a message.
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
		s.Body = strings.ToValidUTF8(s.Body[:maxBody], "") // not half a letter
	}
	return s
}

// pretty is a body for people.
func pretty(body []byte) string {
	var out bytes.Buffer
	if len(body) > maxBody {
		return strings.ToValidUTF8(string(body[:min(len(body), maxBody+utf8.UTFMax)]), "\ufffd") // enough to see that it is cut
	}
	if depth(body) > deepest || json.Indent(&out, body, "", "  ") != nil {
		return strings.ToValidUTF8(string(body), "\ufffd")
	}
	return strings.ToValidUTF8(out.String(), "\ufffd")
}

// depth is how deep objects and lists are within each other in JSON, at most.
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
