package zoom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/redact"
)

// Cause classifies why there is no session, for logs, metrics and gap markers.
type Cause string

// The causes.
const (
	CauseToken     Cause = "token"     // no access token could be obtained
	CauseDial      Cause = "dial"      // the connection or the upgrade failed
	CauseRefused   Cause = "refused"   // a frame with success:false, or the token was refused in another way
	CauseDisplaced Cause = "displaced" // another connection of the subscription took over
	CauseClosed    Cause = "closed"    // Zoom sent a close frame
	CauseReset     Cause = "reset"     // the connection broke without a close frame
	CauseSilent    Cause = "silent"    // no frame within two heartbeat periods
	CauseStopped   Cause = "stopped"   // this side ended the session, or gave the dial up
)

// Error is why a session ended or did not begin. Its text is safe to log.
type Error struct {
	Cause      Cause
	Detail     string               // for people, free of secrets
	Code       websocket.StatusCode // of the close frame, or 0
	RetryAfter time.Duration        // how long Zoom asks to wait, or 0

	status  int  // of an HTTP answer that refused the upgrade, or 0
	reached bool // Zoom, or whatever answers in its place, was reached, but sent no build_connection
}

func (e *Error) Error() string {
	return fmt.Sprintf("zoom: %s: %s", e.Cause, e.Detail)
}

// CredentialsError means that Zoom denied the app's credentials in a way that a
// retry cannot change. Its text is safe to log.
type CredentialsError struct {
	Status int    // HTTP status
	Code   string // Zoom's error, for example invalid_client
	Reason string // Zoom's reason, for example Invalid client_id or client_secret
	Grant  string // the grant type that was used
	URL    string // the token endpoint, without parameters
	Advice string
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("zoom: the token endpoint refused the credentials (HTTP %d, %s: %q, grant %s, ZOOM_OAUTH_URL %s): %s",
		e.Status, e.Code, e.Reason, e.Grant, e.URL, e.Advice)
}

// endError classifies the error of a read or write on an established connection.
func endError(err error, secrets redactor) *Error {
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		e := &Error{Cause: CauseClosed, Code: closed.Code, Detail: fmt.Sprintf("code %d, reason %q", closed.Code, secrets.text(closed.Reason))}
		if reportsDisplacement(closed.Reason) {
			e.Cause = CauseDisplaced
		}
		return e
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Cause: CauseReset, Detail: "the connection ended without a close frame"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &Error{Cause: CauseReset, Detail: "connection reset by peer"}
	case errors.Is(err, net.ErrClosed):
		return &Error{Cause: CauseStopped, Detail: "the connection was closed on this side"}
	}
	return &Error{Cause: CauseReset, Detail: secrets.error(err)}
}

// reportsDisplacement reports whether Zoom's text says that another connection of the
// same subscription has taken over.
func reportsDisplacement(text string) bool {
	return strings.Contains(strings.ToLower(text), "another place")
}

// redactor removes known secrets, and anything that looks like a secret, from text. Use it
// before quoting a text: quoting could change a secret.
type redactor []string

const (
	maxDetail = 300     // bytes of a text that are shown
	maxRedact = 8 << 10 // bytes of a text that are searched for secrets; the rest is dropped
)

func (r redactor) text(s string) string {
	s = s[:min(len(s), maxRedact)]
	s = redact.Text(s, r...)
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

// error returns the text of an error without the URL: net/http puts the URL into
// every error, and ours contains the access token.
func (r redactor) error(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if p := proxyTrouble(err); p != "" {
		return r.text(p)
	}
	return r.text(err.Error())
}
