// Package webhook posts to an HTTP endpoint that a setting names. The URL's path and query may be
// secret, so what this package returns shows only its scheme and host, whatever the endpoint
// answers.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

const (
	// maxAnswer is how many bytes of an answer are read, so that its connection can be reused.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds the Retry-After of an endpoint.
	maxRetryAfter = 5 * time.Minute
)

// NewTransport returns a new transport with the usual settings: the environment's proxy and the
// system's certificate authorities.
func NewTransport() *http.Transport {
	return http.DefaultTransport.(*http.Transport).Clone() // documented to have this type
}

// NewClient returns a client that follows no redirects: they would send the message to a host that
// nobody configured, and as a GET without its body.
func NewClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Refusal is why an attempt failed.
type Refusal struct {
	Code       string        // timeout, connection, or http_ and the status code
	Text       string        // for people
	OfMessage  bool          // it concerns this message rather than the endpoint
	OfURL      bool          // the endpoint does not know the URL, or denies access with it
	RetryAfter time.Duration // as requested by the endpoint, at most 5 minutes
}

// Post makes one attempt. It returns nil if the answer is 2xx.
func Post(ctx context.Context, client *http.Client, to *url.URL, header http.Header, body []byte) *Refusal {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return failed(err)
	}
	request.Header = header
	answer, err := client.Do(request)
	if err != nil {
		return failed(err)
	}
	defer answer.Body.Close()                                   //nolint:errcheck // it was only read
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) //nolint:errcheck // the status says it all
	return classify(answer)
}

// classify interprets an answer; nil for 2xx.
func classify(answer *http.Response) *Refusal {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	r := &Refusal{Code: "http_" + strconv.Itoa(answer.StatusCode), Text: strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode)))}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		r.OfMessage = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		r.OfURL = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.RetryAfter = min(retryAfter(answer.Header.Get("Retry-After"), time.Now()), maxRetryAfter)
	}
	return r
}

// retryAfter parses seconds or a date; 0 if it is neither, or past.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// quoted matches what net/http's errors quote from the endpoint, which may include any part of the
// URL.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func failed(err error) *Refusal {
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return &Refusal{Code: "timeout", Text: "the endpoint did not answer in time"}
	}
	if e, ok := errors.AsType[*url.Error](err); ok { // its text contains the URL
		err = e.Err
	}
	text := quoted.ReplaceAllString(err.Error(), `"…"`)
	return &Refusal{Code: "connection", Text: "no connection to the endpoint: " + message.Short(text, message.MaxText)}
}

// Host formats an endpoint for logs: scheme and host only.
func Host(to *url.URL) string { return to.Scheme + "://" + to.Host }
