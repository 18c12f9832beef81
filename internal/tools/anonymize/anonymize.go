// Package anonymize removes personal data and secrets from events, so that they can be kept as test
// data.
//
// Everything not known to be harmless is replaced. Of texts, that is all but times, numbers with
// units, and the values of members such as type, status or timezone. Of numbers, it is ids, phone
// numbers and other long ones. True, false, null, empty texts, times, durations, counts and sizes
// stay, and so do the names of members that are no addresses. The same value always gets the same
// replacement, even if it is a text in one place and a number in another, so that related events
// stay related. Ids and tokens keep their length, and which of their characters are digits,
// lower-case and upper-case letters. Whoever has the key can undo the replacement of ids.
package anonymize

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Key determines the replacements. Related events need the same key.
type Key struct{ secret []byte }

// NewKey returns a random key.
func NewKey() Key {
	secret := make([]byte, 32)
	rand.Read(secret)
	return Key{secret}
}

var asZooms = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// Body returns an event's body without personal data, or an error if it is not JSON.
func (k Key) Body(body []byte) ([]byte, error) {
	var out bytes.Buffer
	dec, enc := jsontext.NewDecoder(bytes.NewReader(body), asZooms...), jsontext.NewEncoder(&out, asZooms...)
	if err := k.copyValue(enc, dec, ""); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// copyValue copies the next value, that of the named member; elements of an array use the array's
// name.
func (k Key) copyValue(enc *jsontext.Encoder, dec *jsontext.Decoder, name string) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	end := jsontext.EndObject
	switch token.Kind() {
	case '"':
		return enc.WriteToken(jsontext.String(k.Text(name, token.String())))
	case '0':
		return enc.WriteValue(jsontext.Value(k.number(name, token.String())))
	case '[':
		end = jsontext.EndArray
	case '{':
	default:
		return enc.WriteToken(token)
	}
	object := token.Kind() == '{'
	if err := enc.WriteToken(token); err != nil {
		return err
	}
	for dec.PeekKind() != end.Kind() {
		if object {
			token, err := dec.ReadToken()
			if err != nil {
				return err
			}
			if name = token.String(); strings.Contains(name, "@") { // an object with one member per user
				name = k.Text("", name)
			}
			if err := enc.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
		}
		if err := k.copyValue(enc, dec, name); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	return enc.WriteToken(end)
}

// harmless are last words of names whose values reveal nothing about a person.
var harmless = strings.Fields("action audio cause codec country currency direction encoding event extension format industry kind language level method metric mode " +
	"module operation orientation os platform priority quality recording resolution result rule scope service severity source status style subtype " +
	"timezone type unit version zone")

var (
	secrets = strings.Fields("code cookie fingerprint key passcode passwd password pin pwd secret signature token")
	ids     = strings.Fields("account guid id jid number operator pmi serial udid uuid user")
	phones  = strings.Fields("callee caller did from number phone to")
	counts  = strings.Fields("bytes count date duration modified offset position seq sequence size stamp time timestamp total ts")
	// personal are names of times and numbers that identify people nevertheless.
	personal = strings.Fields("birth birthday dob lat latitude lng lon longitude")
	// technical are those in harmless whose values may look like a person's name.
	technical = strings.Fields("codec country currency language mode os platform result status subtype timezone type version")
	// numbered are things with numbers that identify people but are no ids of Zoom.
	numbered = strings.Fields("badge employee extension number phone")
	// texts describe people and places, whatever the last word is.
	texts = strings.Fields("address city description display message name note street summary text title topic zip")

	timeText  = regexp.MustCompile(`^\d{4}-\d\d-\d\d([T ]\d\d:\d\d[\d:.]*(Z|[+-]\d\d:?\d\d)?)?$`)
	stampText = regexp.MustCompile(`^\d{9,13}$`)
	unitText  = regexp.MustCompile(`^-?\d{1,3}$|^-?\d{1,6}\.\d{1,6}$|^-?\d{1,6}(\.\d+)? ?(%|ms|s|[kKMGT]?i?[bB]|[kM]bps|fps|dBm|Hz)$`)
	plainText = regexp.MustCompile(`^\d{1,3}$|^[A-Za-z0-9_.,+/:() -]*[A-Za-z.][A-Za-z0-9_.,+/:() -]*$`)
	nameText  = regexp.MustCompile(`^[A-Z][a-z]+$| `)
	scheme    = regexp.MustCompile(`^[a-z]+$`)
	phoneText = regexp.MustCompile(`^\+?[0-9() .-]{7,20}$`)
)

// Text returns the replacement of a member's text.
func (k Key) Text(name, value string) string {
	words := wordsOf(name)
	last := words[len(words)-1]
	has := func(list []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(list, word) })
	}
	before, _, isURL := strings.Cut(value, "://")
	address, addressErr := netip.ParseAddr(value)
	switch {
	case value == "":
		return ""
	case strings.Contains(value, "@") && !strings.Contains(value, " "):
		return "user-" + k.digest("address", strings.ToLower(value)) + "@example.test"
	case isURL && scheme.MatchString(before):
		return before + "://zoom.example.test/" + k.digest("url", value)
	case addressErr == nil && address.Is4():
		sum := k.sum("ip", value)
		return fmt.Sprintf("198.18.%d.%d", sum[0], sum[1]) // from a network for tests (RFC 2544)
	case addressErr == nil:
		return fmt.Sprintf("2001:db8::%x", k.sum("ip", value)[:2])
	case phoneText.MatchString(value) && (value[0] == '+' || last != "id" && has(phones)) && !timeText.MatchString(value):
		return k.phone(value)
	case has(secrets), slices.Contains(ids, last):
		return k.id(value)
	case has(personal):
		return k.label(name, value)
	case timeText.MatchString(value), slices.Contains(counts, last) && stampText.MatchString(value):
		return value
	case has(texts):
		return k.label(name, value)
	case unitText.MatchString(value),
		slices.Contains(harmless, last) && len(value) <= 64 && plainText.MatchString(value) && (slices.Contains(technical, last) || !nameText.MatchString(value)):
		return value
	}
	return k.label(name, value)
}

// number returns the replacement of a number.
func (k Key) number(name, value string) string {
	words := wordsOf(name)
	last := words[len(words)-1]
	identifies := slices.Contains(ids, last) || slices.ContainsFunc(words, func(w string) bool {
		return slices.Contains(secrets, w) || slices.Contains(numbered, w)
	})
	if slices.ContainsFunc(words, func(w string) bool { return slices.Contains(personal, w) }) {
		return "0"
	}
	if !identifies && (slices.Contains(harmless, last) || len(value) < 7 || slices.Contains(counts, last) || strings.ContainsAny(value, ".eE")) {
		return value
	}
	return k.id(value)
}

// ID returns the replacement of an id, which is the same everywhere.
func (k Key) ID(value string) string { return k.Text("id", value) }

// id replaces each digit by a digit and each letter by one of the same case. Different ids stay
// different: it goes over the text from the left and then from the right, and shifts each character
// by an amount that depends only on the characters before it. So it can be undone, and in the end
// each character depends on all others.
func (k Key) id(value string) string {
	text := []byte(value)
	for _, way := range []string{"from the left", "from the right"} {
		mac := hmac.New(sha256.New, k.secret)
		mac.Write([]byte(way))
		for n := range text {
			at := n
			if way == "from the right" {
				at = len(text) - 1 - n
			}
			was := text[at]
			sum := mac.Sum(nil)
			shift := int(sum[0])<<8 + int(sum[1])
			switch first := at == 0 || at == 1 && text[0] == '-'; {
			case was >= '1' && was <= '9' && first: // the first digit of a number must not become 0
				text[at] = '1' + byte((int(was-'1')+shift)%9)
			case was == '0' && first:
			case was >= '0' && was <= '9':
				text[at] = '0' + byte((int(was-'0')+shift)%10)
			case was >= 'a' && was <= 'z':
				text[at] = 'a' + byte((int(was-'a')+shift)%26)
			case was >= 'A' && was <= 'Z':
				text[at] = 'A' + byte((int(was-'A')+shift)%26)
			case was >= 0x80:
				text[at] = 'x'
			}
			mac.Write([]byte{was})
		}
	}
	return string(text)
}

// phone returns a phone number in an unassigned area code.
func (k Key) phone(value string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, value)
	sum := k.sum("phone", digits)
	return fmt.Sprintf("+1555%07d", (int(sum[0])<<24|int(sum[1])<<16|int(sum[2])<<8|int(sum[3]))%10_000_000)
}

// label returns the member's name with a digest that distinguishes its values.
func (k Key) label(name, value string) string {
	return strings.TrimSpace(strings.ReplaceAll(name, "_", " ") + " " + k.digest("text", value))
}

// TrackingID returns the replacement of Zoom's tracking id.
func (k Key) TrackingID(value string) string {
	return "v=2.0;clid=us02;rid=WEB_" + hex.EncodeToString(k.sum("tracking", value)[:16])
}

func (k Key) sum(kind, value string) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(kind + "\x00" + value))
	return mac.Sum(nil)
}

func (k Key) digest(kind, value string) string {
	return strings.ToLower(strings.NewReplacer("-", "x", "_", "y").Replace(base64.RawURLEncoding.EncodeToString(k.sum(kind, value)[:9])))
}

// wordsOf splits a member's name into lower-case words, without the plural's s: phone_numbers is
// phone number, userJid is user jid.
func wordsOf(name string) []string {
	var b strings.Builder
	small := false
	for _, r := range name {
		if unicode.IsUpper(r) && small {
			b.WriteByte(' ')
		}
		small = unicode.IsLower(r)
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		b.WriteRune(unicode.ToLower(r))
	}
	words := strings.Fields(b.String())
	for i, word := range words {
		if !strings.HasSuffix(word, "ss") && !slices.Contains([]string{"status", "ts", "bytes", "os"}, word) {
			words[i] = strings.TrimSuffix(word, "s")
		}
	}
	if len(words) == 0 {
		return []string{"text"}
	}
	return words
}
