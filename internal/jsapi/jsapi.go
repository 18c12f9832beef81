// Package jsapi knows the subject prefix of JetStream's API: for the connection's own account and
// domain, for another domain reached through a leaf node, or for an API imported from another
// account.
package jsapi

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Place is where the API is reached. The zero Place means the connection's own account. Set Domain
// or Prefix, not both.
type Place struct {
	Domain string // JetStream domain, such as hub
	Prefix string // subject such as JS.hub.API, without the trailing dot
}

// New returns JetStream at a place. Requests whose context has no deadline time out after timeout.
func New(nc *nats.Conn, p Place, timeout time.Duration) (js jetstream.JetStream, err error) {
	bound := jetstream.WithDefaultTimeout(timeout)
	if m := ofDomain.FindStringSubmatch(p.Prefix); m != nil {
		p = Place{Domain: m[1]} // its acknowledgements name the domain
	}
	switch {
	case p.Domain != "":
		js, err = jetstream.NewWithDomain(nc, p.Domain, bound)
	case p.Prefix != "":
		js, err = jetstream.NewWithAPIPrefix(nc, p.Prefix, bound)
	default:
		js, err = jetstream.New(nc, bound)
	}
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return js, nil
}

// ofDomain matches an API prefix that belongs to a domain.
var ofDomain = regexp.MustCompile(`^\$JS\.([^.]+)\.API\.?$`)

// Prefix returns the prefix of the API's subjects, with the trailing dot: $JS.API. for the
// connection's own account.
func Prefix(js jetstream.JetStream) string {
	switch o := js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// Elsewhere reports whether js uses an API other than that of the connection's own account.
func Elsewhere(js jetstream.JetStream) bool { return Prefix(js) != jetstream.DefaultAPIPrefix }

// KVPrefix returns what precedes $KV.<bucket> in the subject of a write to a bucket: nothing for
// the connection's own account, otherwise the API's prefix, as in nats.go. For a domain the server
// maps it, since $KV is not forwarded between domains. An account that imports the API under a
// prefix has to import these subjects as well.
func KVPrefix(js jetstream.JetStream) string {
	if Elsewhere(js) {
		return Prefix(js)
	}
	return ""
}

// Absent wraps err in an [AbsentError] if it means that JetStream is missing and js uses an API
// other than that of the connection's own account.
func Absent(js jetstream.JetStream, err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return AtPlace(js, err)
	}
	return err
}

// AtPlace is Absent for an error that is known to mean this.
func AtPlace(js jetstream.JetStream, err error) error {
	if !Elsewhere(js) {
		return err
	}
	return &AbsentError{Prefix: Prefix(js), Err: err}
}

// AbsentError says that there is no JetStream at the configured place. A server gives no other hint
// that a domain or prefix does not exist.
type AbsentError struct {
	Prefix string
	Err    error
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("nobody answers below %s (NATS_JS_DOMAIN, or jetstream_domain or jetstream_api_prefix of the context): %v", strings.TrimSuffix(e.Prefix, "."), e.Err)
}

// Unwrap returns Err.
func (e *AbsentError) Unwrap() error { return e.Err }

// AbsentAdvice says what to check after an [AbsentError].
const AbsentAdvice = "whether NATS_JS_DOMAIN, or the context, names the right domain or prefix, and whether the leaf node is connected to its hub"
