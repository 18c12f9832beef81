package forward

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"
)

const maxHost = 40 // bytes of a host in a name

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	notInName = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// CheckName reports why a name cannot be that of a delivery.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return errors.New("it is not 1 to 64 of A-Z a-z 0-9 _ -")
	}
	return nil
}

// NameOf is the name of a delivery to an endpoint unless it has another: the host, and a digest
// of the URL, since paths and queries may be secret.
func NameOf(to *url.URL) string {
	host := notInName.ReplaceAllString(to.Host, "-")
	return strings.Trim(host[:min(len(host), maxHost)]+"-"+fingerprint(to)[:8], "-")
}

// consumerName is the durable's, which so looks like nobody else's.
func consumerName(name string) string { return "forward-" + name }

// fingerprint tells endpoints apart without showing their paths and queries, which may be secret.
func fingerprint(to *url.URL) string {
	digest := sha256.Sum256([]byte(to.String()))
	return hex.EncodeToString(digest[:8])
}
