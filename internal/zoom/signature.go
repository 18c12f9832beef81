package zoom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// VerifySignature reports whether a frame's x-zm-signature is that of its
// body: "v0=" and the hexadecimal HMAC-SHA256, with the app's secret token as
// the key, of "v0:<x-zm-request-timestamp>:<body>"
// (https://developers.zoom.us/docs/api/webhooks/#verify-with-zooms-header).
// The body is the decoded content. A value with a literal \u003d for the = is
// accepted: some frames escape it twice.
func VerifySignature(secretToken, timestamp, signature string, body []byte) bool {
	digits, found := strings.CutPrefix(signature, "v0=")
	if !found {
		digits, found = strings.CutPrefix(signature, `v0\u003d`)
	}
	got, err := hex.DecodeString(digits)
	if !found || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secretToken))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}
