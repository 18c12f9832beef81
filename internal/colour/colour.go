// Package colour marks text on a terminal with the sequences that every terminal knows (ECMA-48,
// SGR).
package colour

import "bytes"

const reset = "\x1b[0m"

// codes are all sequences that this package writes.
var codes = [...]string{reset, good, warn, bad, strong, faint}

const (
	good   = "\x1b[32m"
	warn   = "\x1b[33m"
	bad    = "\x1b[1;31m"
	strong = "\x1b[1m"
	faint  = "\x1b[2m"
)

// Paint marks texts; false leaves them unchanged.
type Paint bool

// Good marks what is as it should be.
func (p Paint) Good(text string) string { return p.mark(good, text) }

// Warn marks what needs attention.
func (p Paint) Warn(text string) string { return p.mark(warn, text) }

// Bad marks what is broken.
func (p Paint) Bad(text string) string { return p.mark(bad, text) }

// Strong marks headings.
func (p Paint) Strong(text string) string { return p.mark(strong, text) }

// Faint marks what may be skipped.
func (p Paint) Faint(text string) string { return p.mark(faint, text) }

func (p Paint) mark(code, text string) string {
	if !p || text == "" {
		return text
	}
	return code + text + reset
}

// Around applies do to the text between the marks, and leaves the marks unchanged.
func Around(text []byte, do func([]byte) []byte) []byte {
	var all []byte
	for len(text) > 0 {
		at, length := next(text)
		all = append(append(all, do(text[:at])...), text[at:at+length]...)
		text = text[at+length:]
	}
	return all
}

// next returns the position and length of the next mark; without one, the end of the text and 0.
func next(text []byte) (at, length int) {
	for at := 0; ; at++ {
		i := bytes.IndexByte(text[at:], '\x1b')
		if i < 0 {
			return len(text), 0
		}
		at += i
		for _, code := range codes {
			if bytes.HasPrefix(text[at:], []byte(code)) {
				return at, len(code)
			}
		}
	}
}
