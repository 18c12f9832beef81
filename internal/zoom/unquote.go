package zoom

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns a copy of a JSON value's bytes: those within, if it is a
// string, else the value's own. The value must be well-formed.
//
// The tokeniser's own unquoting replaces bytes that are no valid UTF-8; an
// event's bytes are to be kept as they came, so this copies all but the
// escapes. Only an escaped lone surrogate has no bytes of its own; it becomes
// U+FFFD, as everywhere.
func unquote(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return bytes.Clone(value)
	}
	value = value[1 : len(value)-1]
	out := make([]byte, 0, len(value))
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return append(out, value...)
		}
		out = append(out, value[:i]...)
		escape := value[i+1]
		value = value[i+2:]
		switch escape {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(value)
			value = value[4:]
			if utf16.IsSurrogate(r) && len(value) >= 6 && value[0] == '\\' && value[1] == 'u' {
				if pair := utf16.DecodeRune(r, hex4(value[2:])); pair != utf8.RuneError {
					r = pair
					value = value[6:]
				}
			}
			out = utf8.AppendRune(out, r)
		default: // " \ /
			out = append(out, escape)
		}
	}
}

func hex4(digits []byte) (r rune) {
	for _, c := range digits[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}
