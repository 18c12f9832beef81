package natsconn

import (
	"crypto/subtle"
	"net/url"

	"github.com/nats-io/nats-server/v2/server"
)

// The users of the embedded server.
const (
	embeddedUser  = "zoomstream-embedded" // with the token: may do everything; no user of another server is called so
	anonymousUser = "anonymous"           // whom the gate logs in: may read
)

// embeddedInbox is where the answers for embeddedUser go. A client without a login may have the server answer to any
// subject below _INBOX, and sees in an event's reply subject where its acknowledgement will go: it could have an error
// arrive there in place of it.
const embeddedInbox = "_INBOX_ZOOMSTREAM"

// Readable names what a client without a login may read on the embedded server.
type Readable struct {
	Prefix string // of the events' subjects
	Stream string
	Bucket string // of the leases; the states are in <bucket>-state
}

// permissions are those of the user reader in nats.conf, and a test compares them.
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
		"$JS.ACK.*.*." + r.Stream + ".>", // with domain and account: will be the servers' default
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

// logins says who is who on the embedded server. It implements [server.Authentication]: users in the server's options
// would make it warn of plain passwords.
type logins struct {
	token    string
	password string              // of anonymousUser
	readable *server.Permissions // its rights; nil: it is refused
}

// Check lets a client in that has the token, as the user's password or alone, or that the gate has given a login.
// A wrong one is refused: whoever gives it expects more than to read.
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

// withToken is an address for clients that may do everything.
func withToken(address, token string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // the server's own address is a URL
	}
	u.User = url.UserPassword(embeddedUser, token)
	return u.String()
}

// tokenIn is the token of an address that withToken made, else empty.
func tokenIn(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User.Username() != embeddedUser {
		return ""
	}
	token, _ := u.User.Password()
	return token
}
