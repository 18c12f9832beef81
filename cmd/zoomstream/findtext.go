package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible is a text from the stream as a terminal may show it: what would act on
// the terminal, or hide or reorder text, is escaped.
func visible(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.Write(escaped(r))
		}
	}
	return b.String()
}

// escaped is a character as JSON escapes it.
func escaped(r rune) []byte {
	if r > 0xFFFF {
		high, low := (r-0x10000)>>10+0xD800, (r-0x10000)&0x3FF+0xDC00
		return fmt.Appendf(nil, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(nil, `\u%04x`, r)
}

func quoted(s string) string { return `"` + visible(s) + `"` }

// writeJSON prints JSON that a terminal may show.
func writeJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode as JSON: %w", err)
	}
	_, err := out.Write(visibleJSON(b.Bytes()))
	return err
}

// indented is a body for people.
func indented(body []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, body, "    ", "  ") != nil {
		return []byte("    " + visible(string(body)))
	}
	return append([]byte("    "), visibleJSON(b.Bytes())...)
}

// visibleJSON escapes what a terminal must not get, which stands in strings only.
func visibleJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r == '\n' || unicode.IsGraphic(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, escaped(r)...)
	}
	return out
}

// moment is a time to the millisecond, UTC.
func moment(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// lasted is a number of seconds for people.
func lasted(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
