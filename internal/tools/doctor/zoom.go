package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/zoom"
)

// app is a Zoom app whose credentials were accepted.
type app struct {
	tokens *zoom.TokenSource
	info   zoom.TokenInfo
}

// webSocketScope is the scope that Zoom's own texts require of an app for connections that belong
// to the app rather than an account.
const webSocketScope = "marketplace:write:websocket_connection"

// token fetches one token. That harms no replica: a replica uses its token only to connect, and
// fetches another if Zoom refuses it, which according to older reports a new token may cause. It
// returns nil if no token can be obtained.
func (e *exam) token(ctx context.Context) *app {
	z := e.cfg.Zoom
	if z.ClientID == "" || z.ClientSecret == "" {
		e.skip(Token, "needs ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET")
		return nil
	}
	a := &app{tokens: zoom.NewTokenSource(zoom.TokenConfig{
		ClientID: z.ClientID, ClientSecret: z.ClientSecret, AccountID: z.AccountID, URL: z.OAuthURL, HTTP: e.o.HTTP, Log: zerolog.Nop(),
	})}
	info, err := a.tokens.Probe(ctx)
	a.info = info
	if token := a.tokens.Cached(); token != "" {
		e.secrets = append(e.secrets, token)
	}
	e.grant(info, err)
	e.clock(info)
	if err != nil {
		return nil
	}
	if len(info.Scopes) > 0 {
		e.pass(Scopes, "%s", strings.Join(info.Scopes, " "))
	}
	return a
}

func (e *exam) grant(info zoom.TokenInfo, err error) {
	if denied, ok := errors.AsType[*zoom.CredentialsError](err); ok {
		e.reject(Token, denied.Advice, "Zoom refuses the credentials: HTTP %d, %s: %q, grant %s, ZOOM_OAUTH_URL %s", denied.Status, denied.Code, denied.Reason, denied.Grant, denied.URL)
		return
	}
	if failed, ok := errors.AsType[*zoom.TokenError](err); ok {
		e.fail(Token, failed.Advice, "%s, grant %s", failed.Detail, info.Grant)
		return
	}
	if err != nil {
		e.fail(Token, "run doctor again", "%v, grant %s", err, info.Grant)
		return
	}
	detail := "one token fetched, grant " + info.Grant
	if info.Lifetime > 0 {
		detail += ", valid for " + info.Lifetime.String()
	}
	if info.APIURL != "" {
		detail += ", API " + info.APIURL
	}
	if info.Lifetime == 0 {
		e.warn(Token, "nothing to do: zoomstream renews it after half an hour", "%s; Zoom does not say for how long", detail)
		return
	}
	e.pass(Token, "%s; running replicas keep their connections", detail)
}

// Limits of the clock's error. Latencies and the age of Zoom's signatures depend on the clock.
const (
	clockWarn = 2 * time.Second
	clockFail = 5 * time.Minute
)

func (e *exam) clock(info zoom.TokenInfo) {
	const fix = "have NTP set this machine's clock: alarms and lateness figures depend on it"
	if info.Date.IsZero() {
		e.skip(Clock, "Zoom's answer did not give the time")
		return
	}
	ahead := info.Ahead()
	way := "ahead of"
	if ahead < 0 {
		way = "behind"
	}
	off := ahead.Abs().Round(time.Second / 10)
	switch {
	case off > clockFail:
		e.fail(Clock, fix, "this machine's clock is %s %s Zoom's", off, way)
	case off > clockWarn:
		e.warn(Clock, fix, "this machine's clock is %s %s Zoom's", off, way)
	default:
		e.pass(Clock, "this machine's clock agrees with Zoom's within %s", clockWarn)
	}
}

// dialFix says how to fix a connection that Zoom did not let become ready.
func (a *app) dialFix(err *zoom.Error) string {
	switch err.Cause {
	case zoom.CauseRefused:
		fix := "check in Zoom's Marketplace that the app is activated, and that this subscription belongs to it, with the method WebSocket"
		if len(a.info.Scopes) > 0 && !slices.Contains(a.info.Scopes, webSocketScope) && a.info.Grant == "client_credentials" {
			fix += "; and that it has the scope " + webSocketScope
		}
		return fix
	case zoom.CauseDisplaced:
		return "find out who else connects to this subscription: another cluster, or somebody's laptop"
	}
	return "check ZOOM_WEBSOCKET_URL, and that firewalls and proxies (HTTPS_PROXY) on the way let WebSockets (TLS) pass"
}
