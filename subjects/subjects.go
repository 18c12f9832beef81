// Package subjects maps Zoom event names to NATS subjects and back.
//
// With the prefix zoom, meeting.started becomes zoom.meeting.started and
// app_deauthorized becomes zoom.app_deauthorized. The mapping is pure, total and
// injective: every name, whatever Zoom sends, gives a valid subject, and no two
// names share one.
//
//   - The bytes A-Z a-z 0-9 _ - stand for themselves; a dot separates tokens.
//   - Any other byte is percent-encoded: "a b" becomes a%20b.
//   - A dot that would make an empty token is percent-encoded: "a." becomes a%2E.
//   - A leading _ is percent-encoded, since <prefix>._bridge is reserved for
//     zoomstream's own messages.
//   - A name whose encoded form exceeds [MaxName] bytes is cut and ends in
//     "%-" and a digest of the whole name.
//   - The empty name is "%".
//
// # Keys
//
// A connector with ZOOMSTREAM_SUBJECT_KEY appends keys of the event to its name, each as
// one token: zoom.meeting.started.86017254931. [Token] makes the token of a key and [Value]
// reverses it. They follow the rules above, except that a dot is encoded, the bound is
// [MaxToken], and a key that the event does not have is [NoKey].
//
// A subject does not show where the name ends and the keys begin, so read the event's name
// from the header Zoom-Event. To read it from the subject alone, one needs to know the
// connector's keys: see [Keys.Event]. The bridge's own messages have no keys.
//
// All functions are safe for concurrent use.
package subjects

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MaxName is the maximum length of an encoded event name in bytes. NATS advises
// subjects below 256 bytes (https://docs.nats.io/nats-concepts/subjects); Zoom's
// longest known name has 58.
const MaxName = 200

// The kinds of control messages, for [Control].
const (
	Gap       = "gap"       // an interval without a connection to Zoom
	Malformed = "malformed" // a frame that is not an event
	Alarm     = "alarm"     // a condition somebody should know about
)

const (
	control  = "_bridge"
	empty    = "%"
	cut      = "%-"
	cutBytes = 16 // of the digest: 128 bits
	upperHex = "0123456789ABCDEF"
)

// Subject returns the subject of an event name below prefix, without keys. The
// prefix must have passed [CheckPrefix].
func Subject(prefix, event string) string {
	if plain(event) {
		return prefix + "." + event
	}
	return prefix + "." + encode(event)
}

// Control returns the subject of zoomstream's own messages of a kind:
// <prefix>._bridge.<kind>. The kind > gives the filter for all of them.
func Control(prefix, kind string) string {
	return prefix + "." + control + "." + kind
}

// ControlKind returns the kind of a subject made by [Control], even an unknown kind. It
// returns false for any other subject.
func ControlKind(prefix, subject string) (kind string, ok bool) {
	rest, below := strings.CutPrefix(subject, prefix)
	kind, ok = strings.CutPrefix(rest, "."+control+".")
	if !below || !ok {
		return "", false
	}
	return kind, true
}

// Event returns the event name of a subject made by [Subject]. It returns false
// for a subject below another prefix, for a control message, for a cut name (only
// the Zoom-Event header has all of it) and for what Subject never makes.
func Event(prefix, subject string) (string, bool) {
	name, found := strings.CutPrefix(subject, prefix+".")
	if !found {
		return "", false
	}
	if plain(name) {
		return name, true
	}
	event, ok := decode(name)
	if !ok || encode(event) != name {
		return "", false
	}
	return event, true
}

// CheckPrefix returns an error if prefix cannot start a subject. A valid prefix
// is one or more tokens of A-Z a-z 0-9 _ - separated by dots, none of them empty
// or _bridge.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return errors.New("the subject prefix is empty")
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" {
			return fmt.Errorf("the subject prefix %q has an empty token", prefix)
		}
		if token == control {
			return fmt.Errorf("the subject prefix %q contains %s, which is reserved for control messages", prefix, control)
		}
		for _, c := range []byte(token) {
			if !literal(c) {
				return fmt.Errorf("the subject prefix %q contains %q; only A-Z a-z 0-9 _ - and dots are allowed", prefix, c)
			}
		}
	}
	return nil
}

// literal reports whether a byte of a token stands for itself.
func literal(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// plain reports whether a name needs no encoding, as is true of all of Zoom's
// known names.
func plain(event string) bool {
	if event == "" || len(event) > MaxName || event[0] == '_' {
		return false
	}
	last := byte('.')
	for i := range len(event) {
		c := event[i]
		if c == '.' && last == '.' || c != '.' && !literal(c) {
			return false
		}
		last = c
	}
	return last != '.'
}

func encode(event string) string {
	if event == "" {
		return empty
	}
	out := make([]byte, 0, len(event)+16)
	for i := range len(event) {
		c := event[i]
		if literal(c) && (i > 0 || c != '_') || c == '.' && separates(event, i) {
			out = append(out, c)
			continue
		}
		out = append(out, '%', upperHex[c>>4], upperHex[c&15])
	}
	if len(out) <= MaxName {
		return string(out)
	}
	digest := sha256.Sum256([]byte(event))
	kept := strings.TrimRight(string(out[:MaxName-len(cut)-2*cutBytes]), ".")
	return kept + cut + hex.EncodeToString(digest[:cutBytes])
}

// separates reports whether the dot at i stands between two characters and
// does not follow another dot.
func separates(event string, i int) bool {
	return i > 0 && event[i-1] != '.' && i+1 < len(event)
}

func decode(name string) (string, bool) {
	if name == empty {
		return "", true
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			out = append(out, name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		high := strings.IndexByte(upperHex, name[i+1])
		low := strings.IndexByte(upperHex, name[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		out = append(out, byte(high<<4|low))
		i += 2
	}
	return string(out), true
}
