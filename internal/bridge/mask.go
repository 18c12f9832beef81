package bridge

import (
	"bytes"
	"regexp"
)

// credential finds the name of a member that holds a credential and the colon
// behind it, in JSON, in JSON within JSON strings, or in what only looks so.
var credential = regexp.MustCompile(`(?i)\b(?:authorization|clientid|client_id|client_secret|access_token)\\*["']?(?:\s|\\+[nrt])*[:=](?:\s|\\+[nrt])*`)

// scheme finds a credential by the word before it.
var scheme = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+)[^\s"'\\,}\]]+`)

// mask returns a copy without credentials. The text need not be well-formed,
// and may end anywhere.
func (q *Quarantine) mask(raw []byte) []byte {
	raw = scheme.ReplaceAll(raw, []byte("${1}${2}***"))
	out := make([]byte, 0, len(raw))
	for {
		at := credential.FindIndex(raw)
		if at == nil {
			break
		}
		out = append(out, raw[:at[1]]...)
		out = append(out, `"***"`...)
		raw = raw[at[1]+valueLength(raw[at[1]:]):]
	}
	out = append(out, raw...)
	if q.secrets == nil {
		return out
	}
	for _, secret := range q.secrets() {
		if len(secret) >= 4 {
			out = bytes.ReplaceAll(out, []byte(secret), []byte("***"))
		}
	}
	return out
}

// valueLength is the length of the JSON value at the beginning of a text, or
// of the text if the value does not end in it.
func valueLength(text []byte) int {
	escapes := len(text) - len(bytes.TrimLeft(text, `\`))
	rest := text[escapes:]
	if len(rest) == 0 {
		return len(text)
	}
	switch rest[0] {
	case '"':
		return escapes + 1 + stringLength(rest[1:], escapes)
	case '\'':
		if i := bytes.IndexByte(rest[1:], '\''); i >= 0 {
			return escapes + i + 2
		}
		return len(text)
	case '[', '{': // where it ends is uncertain
		return len(text)
	}
	if i := bytes.IndexAny(text, ",]} \t\r\n"); i >= 0 {
		return i
	}
	return len(text)
}

// stringLength is the length of a string's content with its closing quote. The
// quote is escaped as often as the opening one, whose number of backslashes is
// 0, 1, 3, 7 … at each level of strings within strings. A quote within the
// content has more, and an escaped backslash before a quote adds a multiple of
// twice that number plus two.
func stringLength(content []byte, escapes int) int {
	run := 0
	for i, c := range content {
		switch {
		case c == '\\':
			run++
			continue
		case c == '"' && run%(2*escapes+2) == escapes:
			return i + 1
		}
		run = 0
	}
	return len(content)
}
