// Package jsapi knows below which subject JetStream's API is reached: that of the
// connection's own account and domain, of another domain as a leaf node sees it, or the
// prefix under which an account imports another one's.
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

// Place is where the API is reached. The zero Place is the connection's own account.
// Domain and Prefix exclude each other.
type Place struct {
	Domain string // JetStream domain, such as hub
	Prefix string // subject such as JS.hub.API, without the dot at its end
}

// New returns JetStream at a place. Requests without a deadline end after timeout.
func New(nc *nats.Conn, p Place, timeout time.Duration) (js jetstream.JetStream, err error) {
	bound := jetstream.WithDefaultTimeout(timeout)
	if m := ofDomain.FindStringSubmatch(p.Prefix); m != nil {
		p = Place{Domain: m[1]} // whose acknowledgements name it
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

// ofDomain is a prefix that is a domain's.
var ofDomain = regexp.MustCompile(`^\$JS\.([^.]+)\.API\.?$`)

// Prefix is what the subjects of the API begin with, with the dot at its end: $JS.API.
// for the connection's own account.
func Prefix(js jetstream.JetStream) string {
	switch o := js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// Elsewhere reports whether the API is not that of the connection's own account.
func Elsewhere(js jetstream.JetStream) bool { return Prefix(js) != jetstream.DefaultAPIPrefix }

// KVPrefix is what the subject of an entry that is written begins with, before
// $KV.<bucket>: nothing for the connection's own account. As nats.go does it; a server maps
// it for a domain, since $KV is not passed on between domains. Who imports another account
// under a prefix has to import this, too.
func KVPrefix(js jetstream.JetStream) string {
	if Elsewhere(js) {
		return Prefix(js)
	}
	return ""
}

// Absent returns err as an [AbsentError] if it says that JetStream is not there, and js is
// not that of the connection's own account.
func Absent(js jetstream.JetStream, err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return AtPlace(js, err)
	}
	return err
}

// AtPlace is Absent for an error that says so in other words.
func AtPlace(js jetstream.JetStream, err error) error {
	if !Elsewhere(js) {
		return err
	}
	return &AbsentError{Prefix: Prefix(js), Err: err}
}

// AbsentError says that there is no JetStream at a place that was named. A server says no
// more of a domain or a prefix that does not exist.
type AbsentError struct {
	Prefix string
	Err    error
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("nobody answers below %s (NATS_JS_DOMAIN, or jetstream_domain or jetstream_api_prefix of the context): %v", strings.TrimSuffix(e.Prefix, "."), e.Err)
}

// Unwrap returns Err.
func (e *AbsentError) Unwrap() error { return e.Err }

// AbsentAdvice is what to look at then.
const AbsentAdvice = "whether NATS_JS_DOMAIN, or the context, names the right domain or prefix, and whether the leaf node is connected to its hub"
