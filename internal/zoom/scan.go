package zoom

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the maximum nesting of a text, as in encoding/json.
const maxDepth = 10_000

// scanner reads a JSON text (RFC 8259) in memory. It is strict, except for two things that
// occur in Zoom's events: an object may repeat a name, and a string may contain bytes that
// are not UTF-8.
//
//	for s.open('{'); s.more('}'); {
//		name := s.name()
//		value := s.value()
//	}
//
// After an error, more returns false and everything else does nothing.
//
// The tokeniser of jsontext could do the same, but reads strings byte by byte and once more
// to decode them. With it, decoding a frame takes 1.5 times as long at 1 KiB, and almost
// twice as long at 16 KiB.
type scanner struct {
	whole  []byte
	text   []byte // whole, or the part of it before an error
	at     int    // index of the first unread byte
	depth  int    // number of open brackets
	opened bool   // the innermost bracket has no member or element yet
	failed bool
}

func newScanner(text []byte) scanner { return scanner{whole: text, text: text} }

// fail records that the text is not JSON from here on.
func (s *scanner) fail() {
	s.text, s.failed = s.text[:s.at], true
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// kind is the kind of the next value.
func (s *scanner) kind() jsontext.Kind { return jsontext.Value(s.text[s.at:]).Kind() }

// skip reports whether chars are next, and if so skips them.
func (s *scanner) skip(chars string) bool {
	rest := s.text[s.at:]
	if len(rest) < len(chars) || string(rest[:len(chars)]) != chars {
		return false
	}
	s.at += len(chars)
	return true
}

// open skips the bracket that begins an object or an array.
func (s *scanner) open(bracket byte) {
	if s.peek() != bracket || s.depth == maxDepth {
		s.fail()
		return
	}
	s.at++
	s.depth++
	s.opened = true
}

// more reports whether there is another member or element. If not, it skips the closing
// bracket.
func (s *scanner) more(bracket byte) bool {
	c, first := s.peek(), s.opened
	s.opened = false
	switch {
	case s.failed:
		return false
	case c == bracket:
		s.at++
		s.depth--
		return false
	case first:
		return true
	case c != ',':
		s.fail()
		return false
	}
	s.at++
	return true
}

// name skips a member's name and the colon, and returns the name as raw JSON.
func (s *scanner) name() []byte {
	s.peek()
	start := s.at
	s.quoted(nil)
	if s.failed {
		return nil
	}
	name := s.text[start:s.at]
	s.peek()
	if !s.skip(":") {
		s.fail()
	}
	return name
}

// value skips a value and returns it as raw JSON; nil after an error.
func (s *scanner) value() []byte {
	c := s.peek()
	start := s.at
	switch c {
	case '"':
		s.quoted(nil)
	case '{':
		for s.open('{'); s.more('}'); {
			s.name()
			s.value()
		}
	case '[':
		for s.open('['); s.more(']'); {
			s.value()
		}
	default:
		if !s.skip("true") && !s.skip("false") && !s.skip("null") && !s.number() {
			s.fail()
		}
	}
	if s.failed {
		return nil
	}
	return s.text[start:s.at]
}

// string skips a value and stores its text if it is a string. Null counts as absent; any
// other value is an error.
func (s *scanner) string(to *[]byte, what string) error {
	kind := s.kind()
	value := s.value()
	switch {
	case value == nil:
	case kind == '"':
		*to = literal(value)
	case kind == 'n':
		*to = nil
	default:
		return &Malformed{what, fmt.Sprintf("%s is not a string but %s", what, kind)}
	}
	return nil
}

// end returns why the text is not exactly one object, or nil if it is.
func (s *scanner) end(what string) error {
	if s.peek() == 0 && !s.failed && s.at == len(s.whole) {
		return nil
	}
	detail := fmt.Sprintf("the %s is not JSON at byte %d", what, s.at)
	kind := jsontext.Value(s.whole[s.at:]).Kind()
	switch {
	case s.depth == maxDepth:
		detail = fmt.Sprintf("the %s is nested too deeply at byte %d", what, s.at)
	case s.failed && s.depth == 0 && kind != jsontext.KindInvalid:
		detail = fmt.Sprintf("the %s is not an object but %s", what, kind)
	case s.failed && s.depth == 0 && s.at == len(s.whole):
		detail = fmt.Sprintf("the %s is not JSON: it ends too early", what)
	case !s.failed && s.value() != nil:
		detail = fmt.Sprintf("the %s holds more than one value", what)
	}
	return &Malformed{"not_json", detail}
}

func (s *scanner) number() bool {
	s.skip("-")
	if !s.skip("0") && !s.digits() || s.skip(".") && !s.digits() {
		return false
	}
	if !s.skip("e") && !s.skip("E") {
		return true
	}
	if !s.skip("+") {
		s.skip("-")
	}
	return s.digits()
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// quoted skips a string and appends its decoded text to *to, unless that is nil. Bytes
// that are not UTF-8 stay as they are. An escaped lone surrogate, which has no encoding in
// UTF-8, becomes U+FFFD.
func (s *scanner) quoted(to *[]byte) {
	if !s.skip(`"`) {
		s.fail()
	}
	for !s.failed {
		length := plain(s.text[s.at:])
		if to != nil {
			*to = append(*to, s.text[s.at:s.at+length]...)
		}
		s.at += length
		if s.skip(`"`) {
			return
		}
		char, length := escaped(s.text[s.at:])
		if length == 0 {
			s.fail()
		} else if to != nil {
			*to = utf8.AppendRune(*to, char)
		}
		s.at += length
	}
}

// plain is the number of bytes at the beginning of a string's text that stand for
// themselves, which all do but quotes, backslashes and control characters.
func plain(text []byte) int {
	rest := text
	for len(rest) >= 16 && special(rest)|special(rest[8:]) == 0 {
		rest = rest[16:]
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		if found := special(rest); found != 0 {
			return len(text) - len(rest) + bits.TrailingZeros64(found)/8
		}
	}
	for i, c := range rest {
		if c < ' ' || c == '"' || c == '\\' {
			return len(text) - len(rest) + i
		}
	}
	return len(text)
}

// special examines eight bytes at once. It is 0 if all are plain; otherwise its lowest set
// bit is in the first byte that is not.
func special(text []byte) uint64 {
	const each = 0x0101010101010101
	word := binary.LittleEndian.Uint64(text)
	low := word ^ 2*each          // below 0x21 if it was a control character or a quote
	backslash := word ^ '\\'*each // 0 if it was one
	return ((low-0x21*each)&^low | (backslash-each)&^backslash) & (0x80 * each)
}

// escaped returns the character of the escape sequence at the beginning of a text, and the
// sequence's length in bytes; 0: there is none.
func escaped(text []byte) (char rune, length int) {
	if len(text) < 2 || text[0] != '\\' {
		return 0, 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	char, ok := unit(text)
	if !ok {
		return 0, 0
	}
	if second, ok := unit(text[6:]); ok {
		if pair := utf16.DecodeRune(char, second); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return char, 6
}

// unit is the UTF-16 code unit of an escape sequence \uXXXX.
func unit(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch digit := c | 0x20; {
		case '0' <= c && c <= '9':
			unit = unit<<4 + rune(c-'0')
		case 'a' <= digit && digit <= 'f':
			unit = unit<<4 + rune(digit-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}
