package subjects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	// MaxToken is the maximum length of a key's token in bytes. Zoom's longest known ids take
	// about 40.
	MaxToken = 64
	// NoKey is the token of a key that an event does not have. No value has this token, since
	// a leading _ is percent-encoded.
	NoKey = "_"
)

// Keys are the keys of an event that follow its name in a subject, each as one token, the
// account's first. The zero value means none.
type Keys struct {
	Account bool // payload.account_id
	Object  bool // payload.object.id
}

// ParseKeys parses a value of ZOOMSTREAM_SUBJECT_KEY: "off", "object", "account" or
// "account.object". Anything else is an error.
func ParseKeys(s string) (Keys, error) {
	for _, k := range []Keys{{}, {Object: true}, {Account: true}, {Account: true, Object: true}} {
		if k.String() == s {
			return k, nil
		}
	}
	return Keys{}, fmt.Errorf("subject key %q is unknown; use off, object, account or account.object", s)
}

// String returns the name that [ParseKeys] parses.
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

// Count returns the number of tokens, 0 to 2.
func (k Keys) Count() (n int) {
	if k.Account {
		n++
	}
	if k.Object {
		n++
	}
	return n
}

// Append appends the keys of an event to its subject, which [Subject] has made. Pass an empty
// value for a key that the event does not have.
func (k Keys) Append(subject, account, object string) string {
	if k.Account {
		subject += "." + Token(account)
	}
	if k.Object {
		subject += "." + Token(object)
	}
	return subject
}

// Event returns the event name of a subject with these keys, as [Event] does for one without
// keys.
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

// Token returns the token of a key's value. Every byte but A-Z a-z 0-9 _ - is
// percent-encoded, and so is a leading _. If the result exceeds [MaxToken] bytes, it is cut
// and ends in "%-" and a digest of the whole value. The empty value gives [NoKey]. No two
// values share a token.
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

// Value reverses [Token]; for [NoKey] it returns the empty value. It returns false for a cut
// token, whose full value only a header holds, and for what Token never makes.
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

// isToken reports whether a value is its own token, that is, needs no encoding.
func isToken(value string) bool {
	return value != "" && len(value) <= MaxToken && value[0] != '_' && allLiteral(value)
}

// isCut reports whether a token looks like a cut one.
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
