package natsconn

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Settings are the strings of [Options], in the configuration's field order, so that one converts
// to the other.
type Settings struct {
	URL, Context, Domain, Creds, NKey, User, Password, Token, CA, Cert, Key string
}

// Options returns the options of a connection with these settings.
func (s Settings) Options() Options {
	return Options{
		URL: s.URL, Context: s.Context, Domain: s.Domain, Creds: s.Creds, NKey: s.NKey, User: s.User, Password: s.Password, Token: s.Token,
		CA: s.CA, Cert: s.Cert, Key: s.Key,
	}
}

// explicitSettings turns the settings into options that override a context's, and reports every one
// that can never work.
func explicitSettings(o Options) ([]nats.Option, error) {
	var opts []nats.Option
	var wrong []error
	add := func(setting string, opt nats.Option) {
		if err := opt(&nats.Options{}); err != nil {
			wrong = append(wrong, &ConfigError{Setting: setting, Err: err})
		}
		opts = append(opts, opt)
	}
	reject := func(setting, format string, args ...any) {
		wrong = append(wrong, &ConfigError{Setting: setting, Err: fmt.Errorf(format, args...)})
	}

	identities := given(o)
	if last := len(identities) - 1; last > 0 {
		reject(identities[last], "is set together with %s; choose one", strings.Join(identities[:last], ", "))
	}
	if len(identities) > 0 {
		opts = append(opts, withoutCredentials)
	}
	if o.URL != "" {
		servers := o.URL
		if user, _, bare := login(o.URL); bare || user != "" {
			servers = withoutUser(o.URL)
			opts = append(opts, o.loginAnew(bare))
		}
		add("NATS_URL", func(opts *nats.Options) error { return setServers(opts, servers) })
	}
	if o.Creds != "" {
		add("NATS_CREDS", credentials(o.Creds))
	}
	if o.NKey != "" {
		add("NATS_NKEY", nkey(o.NKey))
	}
	if o.User != "" || o.Password != "" {
		add("NATS_USER", nats.UserInfoHandler(func() (string, string) {
			return o.User, o.secrets().Password
		}))
	}
	if o.Token != "" {
		add("NATS_TOKEN", nats.TokenHandler(func() string {
			return o.secrets().Token
		}))
	}
	if o.User != "" && o.Password == "" {
		reject("NATS_PASSWORD", "is empty while NATS_USER is set")
	}
	if o.User == "" && o.Password != "" {
		reject("NATS_USER", "is empty while NATS_PASSWORD is set")
	}
	if o.CA != "" {
		add("NATS_CA", nats.RootCAs(o.CA))
	}
	switch {
	case o.Cert != "" && o.Key != "":
		add("NATS_CERT", nats.ClientCert(o.Cert, o.Key))
	case o.Cert != "":
		reject("NATS_KEY", "is empty while NATS_CERT is set")
	case o.Key != "":
		reject("NATS_CERT", "is empty while NATS_KEY is set")
	}
	return opts, errors.Join(wrong...)
}

func (o Options) secrets() Secrets {
	if o.Secrets == nil {
		return Secrets{URL: o.URL, Password: o.Password, Token: o.Token}
	}
	return o.Secrets()
}

// loginAnew reads the login from the URL for each connection, since NATS_URL_FILE may have changed
// by then.
func (o Options) loginAnew(bare bool) nats.Option {
	if bare {
		return nats.TokenHandler(func() string {
			token, _, _ := login(o.secrets().URL)
			return token
		})
	}
	return nats.UserInfoHandler(func() (string, string) {
		user, password, _ := login(o.secrets().URL)
		return user, password
	})
}

// login returns the login in an address; a bare token is a user without a password. A list of
// several servers has none: each may have its own.
func login(address string) (user, password string, bare bool) {
	if strings.Contains(address, ",") {
		return "", "", false
	}
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.User == nil || u.Hostname() == "" {
		return "", "", false
	}
	password, given := u.User.Password()
	return u.User.Username(), password, !given
}

// given names the settings that identify us. Given several, nats.go would silently pick one.
func given(o Options) []string {
	var names []string
	if strings.Contains(o.URL, "@") {
		names = append(names, "a user in NATS_URL")
	}
	if o.Creds != "" {
		names = append(names, "NATS_CREDS")
	}
	if o.NKey != "" {
		names = append(names, "NATS_NKEY")
	}
	if o.User != "" || o.Password != "" {
		names = append(names, "NATS_USER")
	}
	if o.Token != "" {
		names = append(names, "NATS_TOKEN")
	}
	return names
}

// withoutCredentials drops the context's credentials, also those in its URL.
func withoutCredentials(o *nats.Options) error {
	for i, address := range o.Servers {
		o.Servers[i] = withoutUser(address)
	}
	o.User, o.Password, o.Token = "", "", ""
	o.Nkey, o.SignatureCB, o.UserJWT = "", nil, nil
	return nil
}

// setServers checks and sets the list. Its errors never show an address: one that cannot be parsed
// may hold a password with a character that should have been percent-encoded.
func setServers(o *nats.Options, list string) error {
	o.Servers = nil
	for address := range strings.SplitSeq(list, ",") {
		if address = strings.TrimSpace(address); address != "" {
			o.Servers = append(o.Servers, address)
		}
	}
	for i, address := range o.Servers {
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("server %d of %d is not an address like nats://host:4222 (also tls://, ws://, wss://; "+
				"percent-encode special characters of a password)", i+1, len(o.Servers))
		}
	}
	return nil
}

func credentials(file string) nats.Option {
	return func(o *nats.Options) error {
		if strings.Contains(file, "-----BEGIN") {
			return errors.New("holds the credentials themselves; it must be the path of a file with them")
		}
		if err := nats.UserCredentials(file)(o); err != nil {
			return err
		}
		return usable(o)
	}
}

func nkey(file string) nats.Option {
	return func(o *nats.Options) error {
		if strings.HasPrefix(file, "SU") && len(file) == 58 {
			return errors.New("holds a seed itself; it must be the path of a file with the seed")
		}
		opt, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return fmt.Errorf("seed file %q: %w", file, err)
		}
		return opt(o)
	}
}

// usable signs once as a test: nats.go reads the seed only when it connects, and without one would
// retry for ever.
func usable(o *nats.Options) error {
	if o.SignatureCB == nil {
		return nil
	}
	_, err := o.SignatureCB([]byte("nonce"))
	return err
}

// checkSettings must be the last option: it checks the combination of the context and the explicit
// settings.
func checkSettings(o Options, e *events) nats.Option {
	return func(opts *nats.Options) error {
		if err := setServers(opts, strings.Join(opts.Servers, ",")); err != nil {
			return err
		}
		e.target = hosts(opts.Servers)
		return usable(opts)
	}
}

// unsupported rejects settings of a context that would otherwise be ignored: ignoring them would
// connect as somebody else, or to another JetStream.
func unsupported(o Options, s natscontext.Settings) error {
	switch {
	case o.Domain == "" && s.JSDomain != "" && s.JSAPIPrefix != "":
		return errors.New("jetstream_domain and jetstream_api_prefix are both set; choose one")
	case len(given(o)) > 0:
		return nil
	case s.NSCLookup != "":
		return errors.New("nsc is not supported; write a credentials file (nsc generate creds) and set NATS_CREDS")
	case s.UserJwt != "":
		return errors.New("user_jwt is not supported; write a credentials file and set NATS_CREDS")
	}
	return nil
}

// hosts formats the list for people: without user, password and token.
func hosts(servers []string) string {
	var shown []string
	for _, address := range servers {
		shown = append(shown, withoutUser(address))
	}
	if len(shown) == 0 {
		return nats.DefaultURL
	}
	return strings.Join(shown, ", ")
}

// withoutUser drops the whole user part. nats.go's own ConnectedUrlRedacted hides a password but
// shows a token.
func withoutUser(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "nats", address
	}
	return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
}
