package forward

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"
)

const maxName = 64

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

// NameOf is the name of a delivery to an endpoint unless it has another: host and path.
func NameOf(to *url.URL) string {
	name := strings.Trim(notInName.ReplaceAllString(to.Host+to.Path, "-"), "-")
	if len(name) > maxName {
		digest := sha256.Sum256([]byte(name))
		name = strings.TrimRight(name[:maxName-9], "-") + "-" + hex.EncodeToString(digest[:4])
	}
	return name
}

// consumerName is the durable's, which so looks like nobody else's.
func consumerName(name string) string { return "forward-" + name }

// fingerprint tells endpoints apart without showing their paths, which may be secret.
func fingerprint(to *url.URL) string {
	digest := sha256.Sum256([]byte(to.Scheme + "://" + to.Host + to.EscapedPath()))
	return hex.EncodeToString(digest[:8])
}
