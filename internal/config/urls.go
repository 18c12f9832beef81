package config

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const (
	masked            = "***"
	subscriptionParam = "subscriptionId"
)

// splitList cuts at commas and white space.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
}

// parseEndpoint reads an endpoint URL as Zoom's page shows it. An access token
// that was pasted with it is taken out. No error holds any part of raw.
func parseEndpoint(raw string) (Endpoint, error) {
	u, err := parseURL(raw, "wss", "ws")
	if err != nil {
		return Endpoint{}, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Endpoint{}, errors.New("its query cannot be read")
	}
	ids := query[subscriptionParam]
	if len(ids) != 1 || ids[0] == "" {
		return Endpoint{}, errors.New("it must have the parameter subscriptionId, once")
	}
	if !isSubscription(ids[0]) {
		return Endpoint{}, errors.New("its subscriptionId has characters other than A-Z a-z 0-9 _ - =")
	}
	u.RawQuery = withoutToken(u.RawQuery)
	u.Fragment, u.RawFragment = "", ""
	return Endpoint{URL: u.String(), Subscription: ids[0]}, nil
}

// parseURL demands a host, no user, and one of the two schemes: the second,
// unencrypted one for loopback hosts only.
func parseURL(raw, secure, plain string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // the error holds raw
		return nil, errors.New("not a URL")
	case u.Scheme != secure && u.Scheme != plain:
		return nil, errors.New("it must begin with " + secure + "://")
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.User != nil:
		return nil, errors.New("it must not hold a user or password")
	case u.Scheme == plain && !isLoopback(u.Hostname()):
		return nil, errors.New("unencrypted " + plain + ":// is allowed to this machine only")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// isSubscription reports whether an id can be a NATS subject token and part of
// a KV key. Zoom's ids are base64url.
func isSubscription(id string) bool {
	return consistsOf(id, "_-=")
}

// withoutToken keeps the order and spelling of the other parameters.
func withoutToken(query string) string {
	parts := strings.Split(query, "&")
	parts = slices.DeleteFunc(parts, func(part string) bool {
		return part == "" || strings.EqualFold(paramName(part), "access_token")
	})
	return strings.Join(parts, "&")
}

func paramName(part string) string {
	name, _, _ := strings.Cut(part, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// parseServers reads a comma separated list of NATS servers and gives those
// without a scheme nats://, which nats.go takes for granted. Credentials need
// the scheme to be written: only so can they be told from a list that a comma
// in a password has cut in two. No error holds any part of raw.
func parseServers(raw string) (string, error) {
	const encode = "; a comma or other special character in a password must be percent-encoded (%2C)"
	var servers []string
	for part := range strings.SplitSeq(raw, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if !strings.Contains(part, "://") {
			if strings.Contains(part, "@") {
				return "", errors.New("a server with user and password must begin with nats:// or tls://" + encode)
			}
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		switch {
		case err != nil || u.User == nil && strings.Contains(part, "@"):
			return "", errors.New("not a URL" + encode)
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			return "", errors.New("the scheme must be nats, tls, ws or wss")
		case u.Hostname() == "":
			return "", errors.New("a server has no host")
		}
		servers = append(servers, part)
	}
	if len(servers) == 0 {
		return "", errors.New("it names no server")
	}
	return strings.Join(servers, ","), nil
}

// redact returns a list of URLs fit to be shown: scheme, host, path and a valid
// subscription id; everything that could be a credential is masked. What
// cannot be read for certain is masked as a whole.
func redact(list string) string {
	var shown []string
	for _, raw := range splitList(list) {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || !strings.Contains(raw, "://") ||
			u.User == nil && strings.Contains(raw, "@") {
			return masked
		}
		text := u.Scheme + "://"
		if u.User != nil {
			text += masked + "@"
		}
		text += u.Host + u.EscapedPath()
		if u.RawQuery != "" {
			text += "?" + redactQuery(u.RawQuery)
		}
		shown = append(shown, text)
	}
	return strings.Join(shown, ",")
}

func redactQuery(query string) string {
	var shown []string
	for part := range strings.SplitSeq(query, "&") {
		_, value, _ := strings.Cut(part, "=")
		if paramName(part) == subscriptionParam && isSubscription(value) {
			shown = append(shown, part)
			continue
		}
		shown = append(shown, masked)
	}
	return strings.Join(shown, "&")
}
