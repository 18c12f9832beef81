package zoom

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAnswersThatAreNoToken: the error says which endpoint answered, what it answered, and what to
// do.
func TestAnswersThatAreNoToken(t *testing.T) {
	const secret = "must-not-leak"
	cfg := TokenConfig{ClientID: "id-" + secret, ClientSecret: secret, URL: "https://u:" + secret + "@zoom.example/oauth/tokn?x=" + secret}
	const html, json = "text/html; charset=utf-8", "application/json"
	for _, c := range []struct {
		status     int
		kind, body string
		location   string
		want       string
		retryAfter string
	}{
		{status: 401, kind: json, body: `{"code":124,"message":"Invalid access token. ` + secret + `"}`, want: `HTTP 401, code 124: "Invalid access token. ***"; check ZOOM_OAUTH_URL`},
		{status: 429, kind: json, body: `{"code":429,"message":"rate limit reached"}`, want: `HTTP 429, code 429: "rate limit reached"; nothing to do`, retryAfter: time.Now().Add(time.Minute).Format(time.RFC3339)},
		{status: 200, kind: html, body: "<html><head><style>x{}</style></head><body>Sign in to the\n guest network</body></html>", want: `HTTP 200 with an HTML page: "Sign in to the guest network"; something other than Zoom answers, such as a captive portal`},
		{status: 302, kind: html, location: "https://portal.example/login?token=" + secret, want: "HTTP 302 with a redirect to https://portal.example/login; zoomstream does not follow redirects"},
		{status: 404, kind: html, body: "<h1>Not Found</h1>", want: `HTTP 404 with an HTML page: "Not Found"; check ZOOM_OAUTH_URL: Zoom's token endpoint is https://zoom.us/oauth/token`},
		{status: 404, kind: json, body: `{"status":404,"error":"Not Found"}`, want: `HTTP 404, Not Found: ""; check ZOOM_OAUTH_URL`},
		{status: 405, kind: "text/plain", body: "no " + secret, want: `HTTP 405 with "no ***"; check ZOOM_OAUTH_URL`},
		{status: 407, kind: html, want: "HTTP 407 with an empty body; the proxy requires a login: set HTTPS_PROXY"},
		{status: 503, kind: html, body: "<title>Service Unavailable", want: `HTTP 503 with an HTML page: "Service Unavailable"; nothing to do`},
		{status: 200, kind: json, body: `{"token":"` + secret + `"}`, want: "HTTP 200 with JSON without an access_token; something other than Zoom"},
		{status: 200, want: "HTTP 200 with an empty body; something other than Zoom"},
	} {
		a := &answer{status: c.status, header: http.Header{}, body: []byte(c.body)}
		for name, value := range map[string]string{"Content-Type": c.kind, "Location": c.location, "Retry-After": c.retryAfter} {
			a.header.Set(name, value)
		}
		err := explain(errors.New("no token"), cfg, a)
		if text := err.Error(); !strings.HasPrefix(text, "zoom: the token endpoint https://zoom.example/oauth/tokn (ZOOM_OAUTH_URL) answered "+c.want) || strings.Contains(text, secret) {
			t.Errorf("%s\nwant %s", text, c.want)
		}
		if wait := retryAfter(err); (wait > 0) != (c.retryAfter != "") {
			t.Errorf("Retry-After %q is a pause of %s", c.retryAfter, wait)
		}
		if denial(err) != nil {
			t.Errorf("%v is final", err)
		}
	}
}
