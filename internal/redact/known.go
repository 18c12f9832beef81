// Package redact removes secrets from texts. No other package does.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Mask replaces what was removed.
const Mask = "***"

const (
	// shortest is the minimum length of a known secret: masking anything shorter everywhere would
	// leave no readable text.
	shortest = 4
	// shortestCode is the minimum length of a secret in base64 or hexadecimal digits.
	shortestCode = 8
)

// Known masks known secrets in a text. It also finds them quoted or escaped (in whole or in part)
// as in Go, JSON, JSON within JSON, and URLs; in base64, even within something longer; in
// hexadecimal digits; and cut short by the end of the text.
func Known(text string, secrets ...string) string {
	patterns := patternsOf(secrets)
	if len(patterns) == 0 {
		return text
	}
	var begins [256][]string // patterns by their possible first byte in the text
	begins['\\'], begins['%'] = patterns, patterns
	for _, p := range patterns {
		if b := p[0]; b != '\\' && b != '%' {
			begins[b] = append(begins[b], p)
		}
		if p[0] == ' ' {
			begins['+'] = patterns
		}
	}
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); i++ {
		for _, p := range begins[text[i]] {
			if end := match(text, i, p, 0); end > i {
				out.WriteString(text[done:i])
				out.WriteString(Mask)
				done, i = end, end-1
				break
			}
		}
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}

// patternsOf returns the secrets and their encodings, the longest first, since one may be part of
// another.
func patternsOf(secrets []string) (patterns []string) {
	add := func(shortest int, pattern string) {
		if len(pattern) >= shortest && !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	for _, secret := range secrets {
		if len(secret) < shortest {
			continue
		}
		add(shortest, secret)
		for _, text := range []string{secret, url.QueryEscape(secret)} { // Basic authentication escapes it
			for before := range 3 {
				add(shortestCode, base64Core(base64.RawStdEncoding, text, before))
				add(shortestCode, base64Core(base64.RawURLEncoding, text, before))
			}
			add(shortestCode, hex.EncodeToString([]byte(text)))
			add(shortestCode, strings.ToUpper(hex.EncodeToString([]byte(text))))
		}
	}
	slices.SortStableFunc(patterns, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return patterns
}

// base64Core returns the base64 digits of a text that follows the given number of bytes, without
// the digits that depend on its surroundings.
func base64Core(encoding *base64.Encoding, text string, before int) string {
	code := encoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
	bits := 8 * (before + len(text))
	first, last := (8*before+5)/6, bits/6
	return code[min(first, last):last]
}

// match returns the end of a secret that starts at a position of text, in any form; 0 if there is
// none. matched is the number of its bytes found already.
func match(text string, at int, secret string, matched int) (end int) {
	if matched == len(secret) {
		return at
	}
	if at >= len(text) {
		if matched >= shortest { // cut short
			return at
		}
		return 0
	}
	r, size := utf8.DecodeRuneInString(secret[matched:])
	if r == utf8.RuneError {
		size = 1
	}
	if plain := secret[matched : matched+size]; strings.HasPrefix(text[at:], plain) {
		if end := match(text, at+size, secret, matched+size); end > 0 {
			return end
		}
	}
	b := secret[matched]
	if text[at] == '+' && b == ' ' {
		if end := match(text, at+1, secret, matched+1); end > 0 {
			return end
		}
	}
	if text[at] == '%' {
		next := at + 1
		for strings.HasPrefix(text[next:], "25") { // escaped more than once
			if b == '%' {
				if end := match(text, next+2, secret, matched+1); end > 0 {
					return end
				}
			}
			next += 2
		}
		if cutShort(text, next, 2, matched) {
			return len(text)
		}
		if v, ok := hexValue(text, next, 2); ok && (v == rune(b) || v == '+' && b == ' ') {
			return match(text, next+2, secret, matched+1)
		}
		return 0
	}
	if text[at] != '\\' {
		return 0
	}
	next := at
	for next < len(text) && text[next] == '\\' { // each level of quoting adds more
		next++
	}
	if b == '\\' {
		run := 0
		for matched+run < len(secret) && secret[matched+run] == '\\' {
			run++
		}
		if next-at >= run {
			if end := match(text, next, secret, matched+run); end > 0 {
				return end
			}
		}
	}
	if next == len(text) {
		return match(text, next, secret, matched)
	}
	if digits := strings.IndexByte("  x u   U", text[next]); digits > 0 && cutShort(text, next+1, digits, matched) {
		return len(text)
	}
	if strings.IndexByte(letters, text[next]) >= 0 && controls[strings.IndexByte(letters, text[next])] == b {
		return match(text, next+1, secret, matched+1)
	}
	if v, ok := hexValue(text, next+1, 2); ok && text[next] == 'x' && v == rune(b) {
		return match(text, next+3, secret, matched+1)
	}
	if v, ok := hexValue(text, next+1, 4); ok && text[next] == 'u' {
		if v == r {
			if end := match(text, next+5, secret, matched+size); end > 0 {
				return end
			}
		}
		if low, width := lowSurrogate(text, next+5); utf16.IsSurrogate(v) && width > 0 && utf16.DecodeRune(v, low) == r {
			return match(text, next+5+width, secret, matched+size)
		}
	}
	if v, ok := hexValue(text, next+1, 8); ok && text[next] == 'U' && v == r {
		return match(text, next+9, secret, matched+size)
	}
	if strings.HasPrefix(text[next:], secret[matched:matched+size]) { // \" \/
		return match(text, next+size, secret, matched+size)
	}
	return 0
}

// cutShort reports whether the text ends within the digits of an escape, after enough of a secret.
func cutShort(text string, at, digits, matched int) bool {
	if at+digits <= len(text) || matched < shortest {
		return false
	}
	_, ok := hexValue(text, at, len(text)-at)
	return ok
}

// letters stand for the controls after a backslash, in the same order.
const (
	letters  = "abtnvfr"
	controls = "\a\b\t\n\v\f\r"
)

// lowSurrogate parses the second half of an escaped surrogate pair, and returns its length in the
// text.
func lowSurrogate(text string, at int) (low rune, width int) {
	next := at
	for next < len(text) && text[next] == '\\' {
		next++
	}
	if next == at || next == len(text) || text[next] != 'u' {
		return 0, 0
	}
	low, ok := hexValue(text, next+1, 4)
	if !ok {
		return 0, 0
	}
	return low, next + 5 - at
}

func hexValue(text string, at, digits int) (v rune, ok bool) {
	if at+digits > len(text) {
		return 0, false
	}
	for _, c := range []byte(text[at : at+digits]) {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
