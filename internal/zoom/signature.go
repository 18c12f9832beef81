package zoom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
)

// Verifier verifies signatures. It reuses its memory and the hash state after the key,
// which costs as much as hashing 128 bytes. It is not safe for concurrent use. The zero
// value is ready to use.
type Verifier struct {
	secretToken string
	mac         hash.Hash
	head        [64]byte // what is hashed before the body
	digits      [2 * sha256.Size]byte
	got, want   [sha256.Size]byte
}

// Verify reports whether a frame's x-zm-signature matches its body: it must be
// "v0=" and the hexadecimal HMAC-SHA256 of "v0:<x-zm-request-timestamp>:<body>",
// with the app's secret token as the key
// (https://developers.zoom.us/docs/api/webhooks/#verify-with-zooms-header). The
// body is the decoded content. Instead of = the signature may have a literal
// \u003d: some frames escape it twice.
func (v *Verifier) Verify(secretToken, timestamp, signature string, body []byte) bool {
	digits, found := strings.CutPrefix(signature, "v0=")
	if !found {
		digits, found = strings.CutPrefix(signature, `v0\u003d`)
	}
	if !found || len(digits) != len(v.digits) {
		return false
	}
	copy(v.digits[:], digits)
	if _, err := hex.Decode(v.got[:], v.digits[:]); err != nil {
		return false
	}
	if v.mac == nil || v.secretToken != secretToken {
		v.secretToken, v.mac = secretToken, hmac.New(sha256.New, []byte(secretToken))
	}
	v.mac.Reset()
	head := append(v.head[:0], "v0:"...)
	head = append(head, timestamp...)
	v.mac.Write(append(head, ':'))
	v.mac.Write(body)
	return hmac.Equal(v.got[:], v.mac.Sum(v.want[:0]))
}
