package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// encodings returns the forms in which a secret gets into a text.
func encodings(secret string) map[string]string {
	inJSON, _ := json.Marshal(secret)
	twice, _ := json.Marshal(string(inJSON))
	var escaped, percent, slash strings.Builder
	for _, b := range []byte(secret) {
		fmt.Fprintf(&percent, "%%%02x", b)
		fmt.Fprintf(&slash, `\x%02X`, b)
	}
	for _, r := range secret {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&escaped, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&escaped, `\u%04X`, r)
	}
	all := map[string]string{
		"plain": secret, "%q": strconv.Quote(secret), "%q of %q": strconv.Quote(strconv.Quote(secret)), "ASCII": strconv.QuoteToASCII(secret),
		"JSON": string(inJSON), "JSON in JSON": string(twice), "%q of JSON": strconv.Quote(string(inJSON)), "\\u": escaped.String(), "%%": percent.String(), "\\x": slash.String(),
		"query": "a=" + url.QueryEscape(secret) + "&b", "path": "/" + url.PathEscape(secret) + "/", "query twice": url.QueryEscape(url.QueryEscape(secret)),
		"query, lower": strings.ToLower(url.QueryEscape(secret)), "slash": strings.ReplaceAll(secret, "/", `\/`),
		"hex": hex.EncodeToString([]byte(secret)), "HEX": fmt.Sprintf("%X", secret), "Basic": base64.StdEncoding.EncodeToString([]byte("id:" + secret)),
		"Basic, escaped": base64.StdEncoding.EncodeToString([]byte(url.QueryEscape("i d") + ":" + url.QueryEscape(secret))),
	}
	for n := range 4 {
		all[fmt.Sprint("base64 ", n)] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", n) + secret + strings.Repeat("y", n)))
		all[fmt.Sprint("base64 URL ", n)] = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", n) + secret))
	}
	all["base64 in a query"] = url.QueryEscape(all["base64 1"])
	return all
}

// TestKnown looks for a secret in each form: between other text, and cut at its end.
func TestKnown(t *testing.T) {
	for _, secret := range []string{
		"s3cr3t-value-of-16", `quo"te\back\\slash-and-more`, "line\r\nbreak\tand-control\x01\x7f", "percent%25+plus &=?/#value", "<html>&amp;'quote'`back`", "ünïcödé-\U0001f511-key",
		"eyJhbGciOiJIUzUxMiIsInYiOiIyLjAifQ.eyJ2ZXIiOjEwfQ.sig_-", "%%%%%%%%",
	} {
		for name, form := range encodings(secret) {
			if name == "query, lower" && strings.ToLower(secret) != secret {
				continue
			}
			before, after := "the server said ", " and no more"
			got := Known(before+form+after, secret)
			if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || !strings.Contains(got, Mask) {
				t.Errorf("%q as %s: %q becomes %q", secret, name, form, got)
				continue
			}
			if left := strings.Trim(strings.ReplaceAll(got[len(before):len(got)-len(after)], Mask, ""), `"\`); len(left) > 14 {
				t.Errorf("%q as %s: %q becomes %q", secret, name, form, got)
			}
			if strings.HasPrefix(name, "base64") || name == "hex" || name == "HEX" || strings.HasPrefix(name, "Basic") {
				continue
			}
			if end := len(form) - 2; len(form) > 12 { // cut at its end
				if got := Known(before+form[:end], secret); !strings.Contains(got, Mask) || len(got) > len(before)+len(Mask)+8 {
					t.Errorf("%q as %s, cut: %q becomes %q", secret, name, form[:end], got)
				}
			}
		}
	}
	for text, want := range map[string]string{
		"abc": "abc", "": "", "a abcdefgh, abcdefgi": "a ***, abcdefgi", "abcdefghabcdefgh": "******", "no \\ and % and \\u12 and %4": "no \\ and % and \\u12 and %4",
	} {
		if got := Known(text, "abcdefgh", "abc", ""); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := Known("a long-secret-and-more", "long-secret", "long-secret-and-more"); got != "a ***" {
		t.Errorf("%q", got)
	}
}

// TestText: secrets that nobody knows are found by the words around them.
func TestText(t *testing.T) {
	const unknown = "unknown-value"
	for _, text := range []string{
		`{"Authoriz\u0061tion":"` + unknown + `"}`, `{"\u0041uthorization":"` + unknown + `"}`, `{"\u0061\u0063\u0063ess_token" : "` + unknown + `"}`,
		`"{\u0022Authorization\u0022:\u0022` + unknown + `\u0022}"`, `"{\\u0022client\\u0049d\\u0022:\\u0022` + unknown + `\\u0022}"`, `"{\"clientI\\u0064\":\"` + unknown + `\"}"`,
		"GET wss://ws.zoom.us/ws?subscriptionId=x&access_token=" + unknown + "&y=1", `Get "https://x/?access_token=` + unknown + `": refused`, "nats://user:" + unknown + "@host:4222",
		"nats://" + unknown + "@host:4222", "authorization: Basic " + unknown, `"x\r\nclientId: ` + unknown + `"`, "%61ccess_token=" + unknown, "Authorization=Bearer%20" + unknown,
	} {
		for cut := range len(text) + 1 {
			if strings.HasPrefix(text, "nats://") && cut < len(text) {
				continue // only the rest shows that it was a user
			}
			if got := Text(text[:cut]); strings.Contains(got, unknown[:4]) {
				t.Fatalf("%q becomes %q", text[:cut], got)
			}
		}
		if got := Text(text); !strings.Contains(got, Mask) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{`{"event":"meeting.started","authorizations":1}`, "the basics of it", "https://zoom.us/oauth/token", "Invalid client_id or client_secret", "a \xff b"} {
		if got := Text(text, unknown); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// FuzzText: redacting ends, never panics, and removes the secrets that it knows.
func FuzzText(f *testing.F) {
	f.Add(`{"Authorization":"a","clientId":[1,2 known"secret\\`, `known"secret`)
	f.Add(`\u006bnown%22secret \\\\\U0001f511`, "known\"secret\U0001f511")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < 8 || strings.Contains(Mask+`"`, secret) || strings.Trim(secret, `*"`) != secret {
			return
		}
		for _, form := range []string{secret, strconv.Quote(secret), url.QueryEscape(secret)} {
			if got := Text(text+form+text, secret); strings.Contains(got, secret) {
				t.Fatalf("%q, %q: %q", text, secret, got)
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	text := strings.Repeat(`{"event":"meeting.started","payload":{"object":{"topic":"a \"quoted\" topic","id":"123456789"}}},`, 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Text(text, "client-secret-value", "secret-token-value", "eyJhbGciOiJIUzUxMiIsInYiOiIyLjAifQ.eyJ2ZXIiOjEwfQ.sig_-", "client-id-value")
	}
}
