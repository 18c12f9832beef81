package forward

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"
)

const maxHost = 40 // maximum bytes of the host in a name

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	notInName = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// CheckName returns why a name is not valid for a delivery.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return errors.New("it is not 1 to 64 of A-Z a-z 0-9 _ -")
	}
	return nil
}

// NameOf returns the default name of a delivery: the endpoint's host and a digest of its URL, since
// path and query may be secret.
func NameOf(to *url.URL) string {
	host := notInName.ReplaceAllString(to.Host, "-")
	return strings.Trim(host[:min(len(host), maxHost)]+"-"+fingerprint(to)[:8], "-")
}

// consumerName is the name of the durable consumer, with a prefix that avoids clashes.
func consumerName(name string) string { return "forward-" + name }

// fingerprint distinguishes endpoints without revealing their paths and queries, which may be
// secret.
func fingerprint(to *url.URL) string {
	digest := sha256.Sum256([]byte(to.String()))
	return hex.EncodeToString(digest[:8])
}
