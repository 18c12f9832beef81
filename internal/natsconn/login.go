package natsconn

import (
	"crypto/subtle"
	"net/url"

	"github.com/nats-io/nats-server/v2/server"
)

// Users of the embedded server.
const (
	embeddedUser  = "zoomstream-embedded" // with the token: every right; no other server has a user of this name
	anonymousUser = "anonymous"           // logged in by the gate: may read
)

// embeddedInbox is the prefix for replies to embeddedUser. A client without a login may have the
// server answer to any subject below _INBOX, and sees in an event's reply subject where its
// acknowledgement will go. With the usual prefix it could thus have an error arrive in place of the
// acknowledgement.
const embeddedInbox = "_INBOX_ZOOMSTREAM"

// Readable names what a client without a login may read on the embedded server.
type Readable struct {
	Prefix string // of the events' subjects
	Stream string
	Bucket string // of the leases; the states are in <bucket>-state
}

// permissions returns the permissions of the user reader in nats.conf; a test compares them.
func (r *Readable) permissions() *server.Permissions {
	publish := []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
		"$JS.API.STREAM.INFO." + r.Stream, "$JS.API.STREAM.MSG.GET." + r.Stream,
		"$JS.API.DIRECT.GET." + r.Stream, "$JS.API.DIRECT.GET." + r.Stream + ".>",
		"$JS.API.CONSUMER.NAMES." + r.Stream, "$JS.API.CONSUMER.LIST." + r.Stream,
		"$JS.API.CONSUMER.CREATE." + r.Stream, "$JS.API.CONSUMER.CREATE." + r.Stream + ".>",
		"$JS.API.CONSUMER.DURABLE.CREATE." + r.Stream + ".>",
		"$JS.API.CONSUMER.INFO." + r.Stream + ".>", "$JS.API.CONSUMER.DELETE." + r.Stream + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + r.Stream + ".>", "$JS.ACK." + r.Stream + ".>", "$JS.FC." + r.Stream + ".>",
		"$JS.ACK.*.*." + r.Stream + ".>", // with domain and account: to become the servers' default
	}
	for _, bucket := range []string{r.Bucket, r.Bucket + "-state"} {
		publish = append(publish, "$JS.API.STREAM.INFO.KV_"+bucket, "$JS.API.DIRECT.GET.KV_"+bucket+".>")
	}
	publish = append(publish, "zoomstream."+r.Bucket+".status", "zoomstream."+r.Bucket+".seen", "$SRV.>")
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{r.Prefix + ".>", "_INBOX.>", "$JS.EVENT.ADVISORY.CONSUMER.*." + r.Stream + ".>"}},
	}
}

// logins authenticates clients of the embedded server. It implements [server.Authentication],
// because with users in its options the server would warn about plaintext passwords.
type logins struct {
	token    string
	password string              // of anonymousUser
	readable *server.Permissions // permissions of anonymousUser; nil: it is refused
}

// Check admits a client that has the token, as the user's password or alone, and one that the gate
// has logged in. A wrong login is refused rather than treated as none: whoever gives one expects
// more than to read.
func (l *logins) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	switch {
	case o.Username == embeddedUser && same(o.Password, l.token), o.Username == "" && same(o.Token, l.token):
		c.RegisterUser(&server.User{Username: embeddedUser})
	case l.readable != nil && o.Username == anonymousUser && same(o.Password, l.password):
		c.RegisterUser(&server.User{Username: anonymousUser, Permissions: l.readable})
	default:
		return false
	}
	return true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// withToken adds the token to an address, for clients that need every right.
func withToken(address, token string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // cannot happen: the server's own address is a URL
	}
	u.User = url.UserPassword(embeddedUser, token)
	return u.String()
}

// tokenIn returns the token of an address made by withToken, or "".
func tokenIn(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User.Username() != embeddedUser {
		return ""
	}
	token, _ := u.User.Password()
	return token
}
