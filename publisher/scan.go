package publisher

import "math"

// scanAck parses an acknowledgement in the form in which nats-server writes it, without
// allocating: {"stream":"ZOOM", "domain":"hub", "seq":12,"duplicate": true}. Whatever it
// parses, encoding/json parses to the same result. For everything else, such as an error, ok
// is false and the caller uses encoding/json.
func scanAck(data []byte) (stream, domain []byte, ack pubAck, ok bool) {
	s := scanner(data)
	if !s.skip('{') {
		return nil, nil, pubAck{}, false
	}
	for more := true; more; more = s.skip(',') {
		name, ok := s.text()
		if !ok || !s.skip(':') {
			return nil, nil, pubAck{}, false
		}
		switch string(name) {
		case "stream":
			stream, ok = s.text()
		case "seq":
			ack.Sequence, ok = s.number()
		case "duplicate":
			ack.Duplicate, ok = s.boolean()
		case "domain":
			domain, ok = s.text()
		case "batch", "val":
			_, ok = s.text()
		case "count":
			_, ok = s.number()
		default:
			ok = false
		}
		if !ok {
			return nil, nil, pubAck{}, false
		}
	}
	return stream, domain, ack, s.skip('}') && s.peek() == 0 && len(s) == 0
}

// scanner is the unread rest of a JSON text.
type scanner []byte

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for len(*s) > 0 {
		switch c := (*s)[0]; c {
		case ' ', '\t', '\n', '\r':
			*s = (*s)[1:]
		default:
			return c
		}
	}
	return 0
}

// skip reports whether c is next, and if so skips it.
func (s *scanner) skip(c byte) bool {
	if s.peek() != c || len(*s) == 0 {
		return false
	}
	*s = (*s)[1:]
	return true
}

// text reads a string of printable ASCII without escapes.
func (s *scanner) text() ([]byte, bool) {
	if !s.skip('"') {
		return nil, false
	}
	for i, c := range *s {
		if c == '"' {
			text := (*s)[:i]
			*s = (*s)[i+1:]
			return text, true
		}
		if c == '\\' || c < ' ' || c > '~' {
			break
		}
	}
	return nil, false
}

// number reads digits without a leading zero. It does not check what follows them.
func (s *scanner) number() (n uint64, ok bool) {
	zero := s.peek() == '0'
	for i, c := range *s {
		if c < '0' || c > '9' {
			*s = (*s)[i:]
			return n, i == 1 || i > 1 && !zero
		}
		if n > (math.MaxUint64-9)/10 {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, false
}

func (s *scanner) boolean() (value, ok bool) {
	word := "false"
	if value = s.peek() == 't'; value {
		word = "true"
	}
	if len(*s) < len(word) || string((*s)[:len(word)]) != word {
		return false, false
	}
	*s = (*s)[len(word):]
	return value, true
}
