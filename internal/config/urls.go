package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// splitList splits at commas and white space.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// quoted reports whether a value begins or ends with a quote, which Docker's --env-file keeps.
func quoted(text string) bool { return strings.Trim(text, quotes) != text }

const quotes = "\"'`“”‘’"

var errQuoted = errors.New("it is in quotes, which are not part of it; leave them out (Docker's --env-file keeps them)")

func endpoints(to *[]Endpoint) func(string) error {
	return func(text string) error {
		var problems []string
		seen := map[string]bool{}
		list := splitList(text)
		for i, raw := range list {
			if quoted(raw) {
				problems = append(problems, fmt.Sprintf("URL %d of %d: %v", i+1, len(list), errQuoted))
				continue
			}
			e, err := parseEndpoint(raw)
			if err == nil && seen[e.Subscription] {
				err = errors.New("its subscription is listed already; Zoom allows one connection for each")
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("URL %d of %d: %v", i+1, len(list), err))
			}
			seen[e.Subscription] = true
			*to = append(*to, e)
		}
		if len(list) == 0 {
			problems = []string{"it contains no URL"}
		}
		if len(problems) > 0 {
			return errors.New(strings.Join(problems, "; ") + "; copy it from Zoom's page, it looks like wss://ws.zoom.us/ws?subscriptionId=…")
		}
		return nil
	}
}

// Zoom's ids are base64url. These characters are valid in a NATS subject token and in a KV key.
var subscriptionID = regexp.MustCompile(`^[A-Za-z0-9_=-]+$`)

// parseEndpoint parses an endpoint URL as Zoom's page shows it. It removes an access token that was
// pasted along. No error contains any part of raw.
func parseEndpoint(raw string) (Endpoint, error) {
	u, err := parseURL(raw, "wss", "ws")
	if err != nil {
		return Endpoint{}, err
	}
	query := u.Query()
	ids := query["subscriptionId"]
	for name := range query {
		if len(ids) == 0 && strings.EqualFold(name, "subscriptionId") {
			return Endpoint{}, fmt.Errorf("its parameter %s must be written subscriptionId", name)
		}
	}
	if len(ids) != 1 || !subscriptionID.MatchString(ids[0]) {
		return Endpoint{}, errors.New("it must have the parameter subscriptionId, once, of A-Z a-z 0-9 _ - =")
	}
	if query.Has("access_token") {
		query.Del("access_token")
		u.RawQuery = query.Encode()
	}
	return Endpoint{URL: u.String(), Subscription: ids[0]}, nil
}

func tokenURL(text string) error {
	if quoted(text) {
		return errQuoted
	}
	if _, err := parseURL(text, "https", "http"); err != nil {
		return fmt.Errorf("%w; use https://zoom.us/oauth/token", err)
	}
	return nil
}

// ForwardURL parses the endpoint that events are delivered to. It may be unencrypted for a host on
// this machine, or for any host if plain is true. No error contains any part of raw.
func ForwardURL(raw string, plain bool) (*url.URL, error) {
	if u, err := url.Parse(raw); plain && err == nil && u.Scheme == "http" && u.Hostname() != "" && u.User == nil {
		return u, nil
	}
	u, err := parseURL(raw, "https", "http")
	if err == nil && u.Fragment != "" {
		err = errors.New("it must not hold a fragment")
	}
	return u, err
}

// webhookURL accepts what parseURL does. No error contains any part of the text.
func webhookURL(text string) error {
	if quoted(text) {
		return errQuoted
	}
	if _, err := parseURL(text, "https", "http"); err != nil {
		return fmt.Errorf("%w; the URL of a webhook looks like https://hooks.slack.com/services/…", err)
	}
	return nil
}

// parseURL requires a host, no user, and one of two schemes; the second, unencrypted one is for
// loopback hosts only.
func parseURL(raw, secure, plain string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // the error would contain raw
		return nil, errors.New("not a URL")
	case u.Scheme != secure && u.Scheme != plain:
		return nil, errors.New("it must begin with " + secure + "://" + instead(u.Scheme))
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.User != nil:
		return nil, errors.New("it must not hold a user or password")
	case u.Scheme == plain && !isLoopback(u.Hostname()):
		return nil, errors.New("unencrypted " + plain + ":// is allowed to this machine only")
	}
	return u, nil
}

// instead names the scheme of a URL for an error, if it is one that people confuse with the right
// one.
func instead(scheme string) string {
	if slices.Contains([]string{"http", "https", "ws", "wss", "nats", "tls"}, scheme) {
		return ", not with " + scheme + "://"
	}
	return ""
}

// listensOnLoopback reports whether a listen address can be reached from this machine only.
func listensOnLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && isLoopback(host)
}

// plainAddress matches a host of lower-case words with dots or a port, optionally with a scheme and
// with a path of such words.
var plainAddress = regexp.MustCompile(`^(?:[a-z]{2,5}:/{0,2})?(?:localhost|[a-z0-9-]{1,30}(?:\.[a-z0-9-]{1,30})+|[a-z0-9-]{1,30}:[0-9]{1,6})(?::[0-9]{0,6})?(?:/[a-z0-9._-]{1,20}){0,4}/?$`)

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// servers adds nats:// to addresses without a scheme, like nats.go. An address with a user must
// have one: otherwise it may be the rest of a password that contains a comma.
func servers(to *string) func(string) error {
	return func(text string) error {
		list := splitList(text)
		if slices.ContainsFunc(list, quoted) {
			return errQuoted
		}
		valid := len(list) > 0
		for i, server := range list {
			if !strings.Contains(server, "://") {
				valid = valid && !strings.Contains(server, "@")
				list[i] = "nats://" + server
			}
			u, err := url.Parse(list[i])
			valid = valid && err == nil && u.Hostname() != "" && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
		}
		*to = strings.Join(list, ",")
		if !valid {
			return errors.New("not a list of NATS servers; use for example nats://localhost:4222 (also tls, ws, wss), " +
				"with special characters of a password percent-encoded")
		}
		return nil
	}
}

// redactURLs shows the schemes, hosts, paths and subscription ids of a list of URLs, and quotes
// around them. If any part cannot be parsed reliably, the whole list is masked, since a password
// may contain a comma. Values without a user or parameters that look like nothing but a host and a
// path are shown.
func redactURLs(list string) string {
	var shown []string
	for _, raw := range splitList(list) {
		if plainAddress.MatchString(raw) && !strings.ContainsAny(list, "@?#") {
			shown = append(shown, raw)
			continue
		}
		if bare := strings.Trim(raw, quotes); bare != raw && bare != "" {
			before, after, _ := strings.Cut(raw, bare)
			inside := redactURLs(bare)
			if inside == masked {
				return masked
			}
			shown = append(shown, before+inside+after)
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User == nil && strings.Contains(raw, "@") {
			return masked
		}
		text := u.Scheme + "://" + u.Host + u.EscapedPath()
		if id := u.Query().Get("subscriptionId"); subscriptionID.MatchString(id) {
			text += "?subscriptionId=" + id
		}
		shown = append(shown, text)
	}
	return strings.Join(shown, ",")
}
