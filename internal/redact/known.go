// Package redact takes secrets out of texts. It is the one place that does.
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

// Mask stands for what was taken out.
const Mask = "***"

const (
	// shortest is the length of a known secret: to mask what is shorter everywhere would
	// leave no text to read.
	shortest = 4
	// shortestCode is that of a secret in base64 and hexadecimal digits.
	shortestCode = 8
)

// Known takes known secrets out of a text, also where they are quoted or escaped, as Go,
// JSON, JSON in JSON and URLs do it, in whole or in part, are written in base64 (as a part of
// something longer, too) or in hexadecimal digits, or are cut short by the end of the text.
func Known(text string, secrets ...string) string {
	patterns := patternsOf(secrets)
	if len(patterns) == 0 {
		return text
	}
	var begins [256][]string // patterns that may begin with a byte
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

// patternsOf are the secrets and their codes, the longest first: one may be part of
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
		for _, text := range []string{secret, url.QueryEscape(secret)} { // the latter in Basic authentication
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

// base64Core is what base64 makes of a text behind so many bytes, without the digits
// that depend on what is around it.
func base64Core(encoding *base64.Encoding, text string, before int) string {
	code := encoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
	bits := 8 * (before + len(text))
	first, last := (8*before+5)/6, bits/6
	return code[min(first, last):last]
}

// match is the end of a secret that begins at a place of a text, in whatever form; 0 if
// there is none. matched is how many bytes of it were found already.
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
		for strings.HasPrefix(text[next:], "25") { // escaped twice
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
	for next < len(text) && text[next] == '\\' { // each level of quoting has more
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

// cutShort reports whether the text ends within the digits of an escape, behind enough of
// a secret.
func cutShort(text string, at, digits, matched int) bool {
	if at+digits <= len(text) || matched < shortest {
		return false
	}
	_, ok := hexValue(text, at, len(text)-at)
	return ok
}

// letters stand for controls behind a backslash.
const (
	letters  = "abtnvfr"
	controls = "\a\b\t\n\v\f\r"
)

// lowSurrogate reads the second half of an escaped pair, and how long that is.
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
