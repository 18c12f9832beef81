package zoom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// TokenError is a failed request for a token. Its text is safe to log.
type TokenError struct {
	Detail string // what failed, with the endpoint and its setting
	Advice string // what to do, or ""

	retryAfter time.Duration
	denied     *CredentialsError // set if a retry cannot help
}

func (e *TokenError) Error() string {
	if e.Advice == "" {
		return "zoom: " + e.Detail
	}
	return "zoom: " + e.Detail + "; " + e.Advice
}

func denial(err error) *CredentialsError {
	if t, ok := errors.AsType[*TokenError](err); ok {
		return t.denied
	}
	return nil
}

func retryAfter(err error) time.Duration {
	if t, ok := errors.AsType[*TokenError](err); ok {
		return t.retryAfter
	}
	return 0
}

// explain turns oauth2's error, which hides Zoom's reason or contains a whole
// HTML page, into one for people. answer is what the endpoint answered, if it did.
func explain(err error, cfg TokenConfig, answer *answer) error {
	redact := redactor{cfg.ClientSecret, cfg.basic(), cfg.ClientID, cfg.AccountID}
	endpoint := "the token endpoint " + bareURL(cfg.URL) + " (ZOOM_OAUTH_URL)"
	if answer.status == 0 || !isAnswered(err) {
		return &TokenError{Detail: endpoint + " cannot be reached: " + redact.error(err), Advice: dialAdvice(err)}
	}
	e := &TokenError{retryAfter: parseRetryAfter(answer.header)}
	var body struct {
		Reason  string `json:"reason"` // Zoom's OAuth
		Error   string `json:"error"`
		Code    any    `json:"code"` // Zoom's gateway and API
		Message string `json:"message"`
	}
	isJSON := json.Unmarshal(answer.body, &body) == nil
	switch {
	case isJSON && body.Error != "":
		advice, final := advices[body.Error] // a word that is known holds no secret, even if one begins alike
		if !final {
			body.Error = redact.text(body.Error)
			advice = statusAdvice(answer.status)
		}
		body.Reason = redact.text(body.Reason)
		e.Detail, e.Advice = fmt.Sprintf("%s answered HTTP %d, %s: %q", endpoint, answer.status, body.Error, body.Reason), advice
		if final && (answer.status == http.StatusBadRequest || answer.status == http.StatusUnauthorized || answer.status == http.StatusForbidden) {
			e.denied = &CredentialsError{Status: answer.status, Code: body.Error, Reason: body.Reason, Grant: cfg.grant(), URL: bareURL(cfg.URL), Advice: advice}
		}
	case isJSON && (body.Code != nil || body.Message != ""):
		e.Detail = fmt.Sprintf("%s answered HTTP %d, code %s: %q", endpoint, answer.status, redact.text(fmt.Sprint(body.Code)), redact.text(body.Message))
		e.Advice = statusAdvice(answer.status)
	default:
		e.Detail = fmt.Sprintf("%s answered HTTP %d with %s", endpoint, answer.status, answer.describe(redact))
		e.Advice = statusAdvice(answer.status)
	}
	return e
}

// isAnswered reports whether an error is about an answer, rather than about the lack of one.
func isAnswered(err error) bool {
	_, failed := errors.AsType[*url.Error](err)
	return !failed && !errors.Is(err, context.DeadlineExceeded)
}

// statusAdvice is what to do about an answer that is neither a token nor Zoom's verdict on
// the credentials.
func statusAdvice(status int) string {
	const ours = "check ZOOM_OAUTH_URL: Zoom's token endpoint is https://zoom.us/oauth/token"
	switch {
	case status == http.StatusProxyAuthRequired:
		return "the proxy requires a login: set HTTPS_PROXY to http://user:password@host:port"
	case status == http.StatusTooManyRequests:
		return "nothing to do: zoomstream waits; if this lasts, find what else requests tokens for this app"
	case status >= 500:
		return "nothing to do: zoomstream tries again; see https://status.zoom.us"
	case status < 300:
		return "something other than Zoom answers, such as a captive portal or a proxy: sign in there, or let this machine reach Zoom; otherwise " + ours
	case status < 400:
		return "zoomstream does not follow redirects, which would pass the secret on: if a captive portal redirects to its sign-in page, sign in there; otherwise " + ours
	}
	return ours
}

// advices says what to do about each of Zoom's errors that persists until somebody
// changes something.
var advices = map[string]string{
	"invalid_client":         "check ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET against the app's \"App Credentials\" page in Zoom's Marketplace; a space or line break at the end of the secret is the most common cause",
	"invalid_request":        "check ZOOM_ACCOUNT_ID against the app's \"App Credentials\" page in Zoom's Marketplace, and that the app is activated there",
	"unsupported_grant_type": "set ZOOM_ACCOUNT_ID for a Server-to-Server OAuth app (grant account_credentials), leave it empty for a general app (grant client_credentials)",
	"unauthorized_client":    "check in Zoom's Marketplace that the app is activated and of the type that may use this grant",
	"invalid_grant":          "check ZOOM_ACCOUNT_ID and that the app is activated in Zoom's Marketplace",
	"invalid_scope":          "check the app's scopes in Zoom's Marketplace",
}

// maxRetryAfter bounds what Zoom may ask for: a mistake there must not silence us
// for a day.
const maxRetryAfter = 10 * time.Minute

// parseRetryAfter parses Retry-After: seconds or a date (RFC 9110, 10.2.3), or a date as in
// RFC 3339. It returns 0 to maxRetryAfter.
func parseRetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, 86400)) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	} else if at, err := time.Parse(time.RFC3339, value); err == nil { // gateways were seen to send it
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxRetryAfter)
}
