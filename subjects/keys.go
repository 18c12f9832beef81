package subjects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	// MaxToken is the longest token of a key in bytes. Zoom's longest known ids take about 40.
	MaxToken = 64
	// NoKey is the token of a key that an event does not have. It is no value's token, since
	// a leading _ is percent-encoded.
	NoKey = "_"
)

// Keys says which keys of an event stand behind its name in a subject, each as one token,
// that of the account first. The zero value is none.
type Keys struct {
	Account bool // payload.account_id
	Object  bool // payload.object.id
}

// ParseKeys reads "off", "object", "account" or "account.object", as ZOOMSTREAM_SUBJECT_KEY
// has them.
func ParseKeys(s string) (Keys, error) {
	for _, k := range []Keys{{}, {Object: true}, {Account: true}, {Account: true, Object: true}} {
		if k.String() == s {
			return k, nil
		}
	}
	return Keys{}, fmt.Errorf("subject key %q is unknown; use off, object, account or account.object", s)
}

// String returns the name that [ParseKeys] reads.
func (k Keys) String() string {
	switch k {
	case Keys{Account: true}:
		return "account"
	case Keys{Object: true}:
		return "object"
	case Keys{Account: true, Object: true}:
		return "account.object"
	}
	return "off"
}

// Count returns how many tokens the keys are.
func (k Keys) Count() (n int) {
	if k.Account {
		n++
	}
	if k.Object {
		n++
	}
	return n
}

// Append appends the keys of an event to its subject, which [Subject] has made. An empty
// value is a key that the event does not have.
func (k Keys) Append(subject, account, object string) string {
	if k.Account {
		subject += "." + Token(account)
	}
	if k.Object {
		subject += "." + Token(object)
	}
	return subject
}

// Event returns the event name of a subject with these keys, as [Event] does of one
// without any.
func (k Keys) Event(prefix, subject string) (string, bool) {
	for range k.Count() {
		dot := max(strings.LastIndexByte(subject, '.'), 0)
		token := strings.TrimPrefix(subject[dot:], ".")
		if _, ok := Value(token); !ok && !isCut(token) {
			return "", false
		}
		subject = subject[:dot]
	}
	return Event(prefix, subject)
}

// Token returns the token of a key: its value, with every byte but A-Z a-z 0-9 _ - and a
// leading _ percent-encoded, cut if that exceeds [MaxToken] bytes, and [NoKey] if it is
// empty. No two values share one.
func Token(value string) string {
	if value == "" {
		return NoKey
	}
	if isToken(value) {
		return value
	}
	out := make([]byte, 0, MaxToken)
	for i := 0; i < len(value) && len(out) <= MaxToken; i++ {
		c := value[i]
		if literal(c) && (i > 0 || c != '_') {
			out = append(out, c)
			continue
		}
		out = append(out, '%', upperHex[c>>4], upperHex[c&15])
	}
	if len(out) <= MaxToken {
		return string(out)
	}
	digest := sha256.Sum256([]byte(value))
	return string(out[:MaxToken-len(cut)-2*cutBytes]) + cut + hex.EncodeToString(digest[:cutBytes])
}

// Value returns the value of a token made by [Token]; empty for [NoKey]. It is false for a
// cut one, whose whole value only a header knows, and for what Token never makes.
func Value(token string) (string, bool) {
	if token == NoKey {
		return "", true
	}
	if isToken(token) {
		return token, true
	}
	value, ok := decode(token)
	if !ok || Token(value) != token {
		return "", false
	}
	return value, true
}

// isToken reports whether a value is its own token.
func isToken(value string) bool {
	return value != "" && len(value) <= MaxToken && value[0] != '_' && allLiteral(value)
}

// isCut reports whether a token may be a cut one.
func isCut(token string) bool {
	kept, digest, found := strings.Cut(token, cut)
	return found && len(token) == MaxToken && len(digest) == 2*cutBytes && allLiteral(strings.ReplaceAll(kept, "%", "")) && allLiteral(digest)
}

func allLiteral(s string) bool {
	for i := range len(s) {
		if !literal(s[i]) {
			return false
		}
	}
	return true
}
