package redact

import (
	"fmt"
	"regexp"
	"strings"
)

// Text masks known secrets, and whatever looks like a credential: the value of a JSON member or
// parameter with such a name, what follows Bearer or Basic, and the user in a URL. The text may be
// malformed and may end anywhere.
func Text(text string, secrets ...string) string {
	text = Known(text, secrets...)
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); i++ {
		value, length, mask := credentialAt(text, i)
		if value == 0 {
			continue
		}
		out.WriteString(text[done:value])
		out.WriteString(mask)
		done = value + length
		i = max(i, done-1)
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// credentialAt recognises a credential by the text that precedes it, which begins at position at.
// It returns the credential's position and length, and its replacement. value is 0 if there is none.
func credentialAt(text string, at int) (value, length int, mask string) {
	rest := text[at:]
	switch rest[0] {
	case ':':
		if !strings.HasPrefix(rest, "://") {
			return 0, 0, ""
		}
		if end := userInfo.FindStringIndex(rest); end != nil {
			return at + len("://"), end[1] - len("://@"), Mask
		}
		return 0, 0, ""
	case 'b', 'B':
		if inWord(text, at) {
			return 0, 0, ""
		}
		if found := scheme.FindStringSubmatchIndex(rest); found != nil {
			return at + found[2], found[3] - found[2], Mask
		}
		return 0, 0, ""
	case 'a', 'A', 'c', 'C', '%', '\\':
		if len(rest) < 2 || strings.IndexByte(`uUcClL\%0123456789`, rest[1]) < 0 || inWord(text, at) {
			return 0, 0, ""
		}
	default:
		return 0, 0, ""
	}
	name := credential.FindString(rest)
	if name == "" {
		return 0, 0, ""
	}
	value = at + len(name)
	text = text[value:]
	if word := scheme.FindString(text); word != "" { // value of an unquoted header
		return value, len(word), Mask
	}
	if strings.HasSuffix(name, "=") && strings.IndexAny(text, `"'\[{`) != 0 { // value of a parameter
		end := strings.IndexAny(text, "&,]} \t\r\n\"'\\")
		if end < 0 {
			end = len(text)
		}
		return value, end, Mask
	}
	return value, valueLength(text), `"` + Mask + `"`
}

// inWord reports whether a position is within a word. The letter of an escape belongs to no word.
func inWord(text string, at int) bool {
	if at == 0 {
		return false
	}
	c := text[at-1]
	if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
		return false
	}
	return !escape.MatchString(text[max(0, at-6):at])
}

var (
	escape = regexp.MustCompile(`(?i)(?:\\[nrtbfv]|\\u00[0-9a-f]{2})$`)
	// credential matches the name of a member or parameter that holds a credential, and the
	// separator after it, in JSON, in JSON within JSON strings, and in what merely looks like it.
	// Each letter may be escaped.
	credential = regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
		escapable("authorization"), escapable("clientid"), escapable("client_id"), escapable("client_secret"), escapable("access_token"),
	}, "|") + `)(?:\\+u0022|\\*["'])?(?:\s|\\+[nrt])*[:=](?:\s|\\+[nrt])*`)
	// scheme matches the word before a credential, and the credential.
	scheme   = regexp.MustCompile(`(?i)^(?:bearer|basic)(?:\s|%20|\+)+([^\s"'\\,}\]]+)`)
	userInfo = regexp.MustCompile(`^://[^/\s"'@]*@`)
	// quoteEscape matches a quote written as \u0022.
	quoteEscape = regexp.MustCompile(`(?i)^\\+u0022`)
)

// escapable returns a pattern for a lower-case word whose letters may be escaped.
func escapable(word string) string {
	var b strings.Builder
	for _, c := range []byte(word) {
		fmt.Fprintf(&b, `(?:%c|\\+u00(?:%02x|%02x)|%%(?:%02x|%02x))`, c, c, c&^0x20, c, c&^0x20)
	}
	return b.String()
}

// valueLength returns the length of the JSON value at the start of a text, or of the whole text if
// the value does not end in it.
func valueLength(text string) int {
	if open := quoteEscape.FindString(text); open != "" {
		if i := strings.Index(strings.ToLower(text[len(open):]), "u0022"); i >= 0 {
			return len(open) + i + len("u0022")
		}
		return len(text)
	}
	escapes := len(text) - len(strings.TrimLeft(text, `\`))
	rest := text[escapes:]
	if len(rest) == 0 {
		return len(text)
	}
	switch rest[0] {
	case '"':
		return escapes + 1 + stringLength(rest[1:], escapes)
	case '\'':
		if i := strings.IndexByte(rest[1:], '\''); i >= 0 {
			return escapes + i + 2
		}
		return len(text)
	case '[', '{': // its end is uncertain
		return len(text)
	}
	if i := strings.IndexAny(text, ",]} \t\r\n"); i >= 0 {
		return i
	}
	return len(text)
}

// stringLength returns the length of a string's content including its closing quote. The closing
// quote has as many backslashes as the opening one: 0, 1, 3, 7 … at each level of strings within
// strings. A quote within the content has more, and an escaped backslash before a quote adds a
// multiple of twice that number plus two.
func stringLength(content string, escapes int) int {
	run := 0
	for i, c := range []byte(content) {
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
