// Package colour marks text on a terminal, by the sequences that all of them know
// (ECMA-48, SGR).
package colour

import "bytes"

const reset = "\x1b[0m"

// codes are all that this package writes.
var codes = [...]string{reset, good, warn, bad, strong, faint}

const (
	good   = "\x1b[32m"
	warn   = "\x1b[33m"
	bad    = "\x1b[1;31m"
	strong = "\x1b[1m"
	faint  = "\x1b[2m"
)

// Paint marks texts; false leaves them as they are.
type Paint bool

// Good is for what is as it should be.
func (p Paint) Good(text string) string { return p.mark(good, text) }

// Warn is for what wants attention.
func (p Paint) Warn(text string) string { return p.mark(warn, text) }

// Bad is for what is broken.
func (p Paint) Bad(text string) string { return p.mark(bad, text) }

// Strong is for headings.
func (p Paint) Strong(text string) string { return p.mark(strong, text) }

// Faint is for what may be passed over.
func (p Paint) Faint(text string) string { return p.mark(faint, text) }

func (p Paint) mark(code, text string) string {
	if !p || text == "" {
		return text
	}
	return code + text + reset
}

// Around applies a function to what stands around the marks.
func Around(text []byte, do func([]byte) []byte) []byte {
	var all []byte
	for len(text) > 0 {
		at, length := next(text)
		all = append(append(all, do(text[:at])...), text[at:at+length]...)
		text = text[at+length:]
	}
	return all
}

// next is where the next mark is, and how long. Without one it is the end.
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
