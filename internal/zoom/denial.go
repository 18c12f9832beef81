package zoom

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/oauth2"
)

// tokenError is a failed request for a token. Its text is safe to log.
type tokenError struct {
	detail     string
	retryAfter time.Duration
	denied     *CredentialsError // trying again cannot help
}

func (e *tokenError) Error() string { return e.detail }

func denial(err error) *CredentialsError {
	if t, ok := errors.AsType[*tokenError](err); ok {
		return t.denied
	}
	return nil
}

func retryAfter(err error) time.Duration {
	if t, ok := errors.AsType[*tokenError](err); ok {
		return t.retryAfter
	}
	return 0
}

// explain turns oauth2's error, which hides Zoom's reason or shows a whole
// HTML page, into one for people.
func explain(err error, cfg TokenConfig) error {
	redact := redactor{cfg.ClientSecret, cfg.basic(), cfg.ClientID, cfg.AccountID}
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return &tokenError{detail: "zoom: the token request failed: " + redact.error(err)}
	}
	status := answer.Response.StatusCode
	e := &tokenError{retryAfter: parseRetryAfter(answer.Response.Header)}
	var body struct {
		Reason string `json:"reason"`
		Error  string `json:"error"`
	}
	if json.Unmarshal(answer.Body, &body) != nil || body.Error == "" {
		e.detail = fmt.Sprintf("zoom: the token endpoint answered HTTP %d without Zoom's error format", status)
		return e
	}
	advice, final := advices[body.Error] // a word that is known holds no secret, even if one begins alike
	if !final {
		body.Error = redact.text(body.Error)
	}
	body.Reason = redact.text(body.Reason)
	e.detail = fmt.Sprintf("zoom: the token endpoint answered HTTP %d, %s: %q", status, body.Error, body.Reason)
	if final && (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden) {
		e.denied = &CredentialsError{Status: status, Code: body.Error, Reason: body.Reason, Grant: cfg.grant(), Advice: advice}
	}
	return e
}

// advices holds, for each of Zoom's errors that stays until somebody changes
// something, what to do.
var advices = map[string]string{
	"invalid_client":         "check ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET against the app's \"App Credentials\" page in Zoom's Marketplace; a space or line break at the end of the secret is the commonest cause",
	"invalid_request":        "check ZOOM_ACCOUNT_ID against the app's \"App Credentials\" page in Zoom's Marketplace, and that the app is activated there",
	"unsupported_grant_type": "set ZOOM_ACCOUNT_ID for a Server-to-Server OAuth app (grant account_credentials), leave it empty for a general app (grant client_credentials)",
	"unauthorized_client":    "check in Zoom's Marketplace that the app is activated and of the type that may use this grant",
	"invalid_grant":          "check ZOOM_ACCOUNT_ID and that the app is activated in Zoom's Marketplace",
	"invalid_scope":          "check the app's scopes in Zoom's Marketplace",
}

// maxRetryAfter bounds what Zoom may ask: a slip there must not silence us for
// a day.
const maxRetryAfter = 10 * time.Minute

// parseRetryAfter reads the header in seconds or as a date (RFC 9110, 10.2.3).
func parseRetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, 86400)) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxRetryAfter)
}
