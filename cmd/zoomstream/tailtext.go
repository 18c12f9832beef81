package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/internal/tools/anonymize"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

const (
	tailTopic = 8       // minimum columns for a topic
	tailName  = 200     // maximum bytes of a name or an id
	tailBody  = 4 << 10 // maximum bytes of a body
)

// tailLine is a message as --json prints it. It has one of the three kinds of body.
type tailLine struct {
	Sequence uint64            `json:"stream_seq"`
	Stored   time.Time         `json:"stored_at"`
	Kind     string            `json:"kind"`
	Event    string            `json:"event,omitempty"`
	Subject  string            `json:"subject"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body,omitempty"`
	Text     *string           `json:"body_text,omitempty"`   // if it is not JSON
	Bytes    []byte            `json:"body_base64,omitempty"` // if it is not UTF-8
}

// printer returns a function that prints messages as the flags say.
func (c *tailCmd) printer(out io.Writer, prefix string, notice func(string)) func(*inspect.Message) error {
	if c.Anonymize {
		key := anonymize.NewKey()
		return func(m *inspect.Message) error {
			line, err := newTailLine(m, prefix).anonymized(key, prefix)
			if err != nil {
				notice(fmt.Sprintf("message %d is left out: %v", m.Sequence, err))
				return nil
			}
			return writeJSONLine(out, line)
		}
	}
	if c.JSON {
		return func(m *inspect.Message) error { return writeJSONLine(out, newTailLine(m, prefix)) }
	}
	return func(m *inspect.Message) error {
		text := tailText(m, prefix, cmp.Or(columns(out), usualWidth)) + "\n"
		if c.Headers {
			text += tailHeaders(m)
		}
		if c.Body {
			text += tailBodyText(m.Body)
		}
		_, err := io.WriteString(out, text)
		return err
	}
}

func newTailLine(m *inspect.Message, prefix string) tailLine {
	line := tailLine{
		Sequence: m.Sequence, Stored: m.Stored.UTC(), Kind: kindName(message.KindOf(prefix, m.Subject)), Subject: m.Subject,
		Event: m.EventName(prefix), Headers: make(map[string]string, len(m.Header)),
	}
	for name, values := range m.Header {
		line.Headers[name] = strings.Join(values, ", ")
	}
	switch {
	case !utf8.Valid(m.Body):
		line.Bytes = m.Body
	case json.Valid(m.Body):
		line.Body = m.Body
	default:
		text := string(m.Body)
		line.Text = &text
	}
	return line
}

// anonymized returns an event without personal data. It drops what verifies or identifies the exact
// bytes, since they differ now.
func (l tailLine) anonymized(key anonymize.Key, prefix string) (tailLine, error) {
	body, err := key.Body(l.Body)
	if err != nil {
		return tailLine{}, err
	}
	headers := make(map[string]string)
	for name, value := range l.Headers {
		switch name {
		case message.HeaderEvent, message.HeaderReceivedAt, message.HeaderEventAt, message.HeaderSentAt:
			headers[name] = value
		case message.HeaderSubscription, message.HeaderAccount, message.HeaderObjectID, message.HeaderObjectUUID:
			headers[name] = key.ID(value)
		case message.HeaderTrackingID:
			headers[name] = key.TrackingID(value)
		}
	}
	l.Subject, l.Headers, l.Body = subjects.Subject(prefix, l.Event), headers, body
	return l, nil
}

func kindName(kind message.Kind) string {
	if kind == message.KindUnknown {
		return "unknown"
	}
	return string(kind)
}

// tailText formats a message as one line, and cuts its topic to the width.
func tailText(m *inspect.Message, prefix string, width int) string {
	h := message.ParseHeaders(m.Header)
	at := h.Received
	if at.IsZero() {
		at = m.Stored
	}
	kind := message.KindOf(prefix, m.Subject)
	if kind != message.KindEvent {
		return zstatus.Visible(fmt.Sprintf("%s  -- %s: %s", moment(at), kindName(kind), tailBridge(m, kind, h.Subscription)))
	}
	id, topic := m.Object()
	line := fmt.Sprintf("%s  %-27s %-11s ", moment(at), short(m.EventName(prefix)), short(id))
	if h.Signature == message.SignatureInvalid {
		line += "BAD SIGNATURE "
	}
	if rest := width - utf8.RuneCountInString(line); rest >= tailTopic {
		line += cut(zstatus.Visible(topic), rest)
	}
	return strings.TrimRight(line, " ")
}

// tailBridge describes one of the bridge's own messages, with its subscription.
func tailBridge(m *inspect.Message, kind message.Kind, subscription string) string {
	text := said(kind, m.Header, m.Body, m.Stored)
	if kind == message.KindUnknown {
		text = short(m.Subject)
	}
	if subscription != "" {
		text += fmt.Sprintf(" (subscription %s)", message.Short(subscription, tailName))
	}
	return text
}

func short(text string) string { return zstatus.Visible(message.Short(text, tailName)) }

// cut returns as much of a text as the columns show.
func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns-1]) + "…"
}

func tailHeaders(m *inspect.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    #%d %s\n", m.Sequence, short(m.Subject))
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, value := range m.Header[name] {
			fmt.Fprintf(&b, "    %s: %s\n", short(name), zstatus.Visible(message.Short(value, message.MaxText)))
		}
	}
	return b.String()
}

func tailBodyText(body []byte) string {
	if len(body) <= tailBody {
		return string(indented(bytes.TrimSpace(body))) + "\n"
	}
	return fmt.Sprintf("    %s %d bytes\n", zstatus.Visible(message.Short(string(body[:min(len(body), tailBody+utf8.UTFMax)]), tailBody)), len(body))
}
