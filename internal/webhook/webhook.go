// Package webhook posts to an HTTP endpoint that a setting names. A path and a query may be
// secret: of the endpoint's URL only scheme and host are in what this package returns,
// whatever the endpoint says.
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
	// maxAnswer is how many bytes of an answer are read, so that its connection can be used again.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds what an endpoint may ask for.
	maxRetryAfter = 5 * time.Minute
)

// NewTransport returns a transport of its own with the usual settings: the proxy of the environment,
// and the authorities of the system.
func NewTransport() *http.Transport {
	return http.DefaultTransport.(*http.Transport).Clone() // it is documented to be one
}

// NewClient returns a client that follows no redirect: the message would go where nobody has
// said, and as a GET without its body.
func NewClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Refusal is why an attempt did not deliver.
type Refusal struct {
	Code       string        // timeout, connection, or http_ and the status
	Text       string        // for people
	OfMessage  bool          // it is about this message, not about the endpoint
	OfURL      bool          // the endpoint does not know the URL, or no longer lets it in
	RetryAfter time.Duration // as the endpoint asks, 5 minutes at most
}

// Post makes one attempt. It is nil if the answer is one of 2xx.
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

// classify says what an answer means.
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

// retryAfter reads seconds or a date; what is neither, or past, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// quoted is what the endpoint has said, in errors of net/http. It may be any part of the URL.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func failed(err error) *Refusal {
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return &Refusal{Code: "timeout", Text: "the endpoint did not answer in time"}
	}
	if e, ok := errors.AsType[*url.Error](err); ok { // its text has the URL
		err = e.Err
	}
	text := quoted.ReplaceAllString(err.Error(), `"…"`)
	return &Refusal{Code: "connection", Text: "no connection to the endpoint: " + message.Short(text, message.MaxText)}
}

// Host is an endpoint as logs may have it.
func Host(to *url.URL) string { return to.Scheme + "://" + to.Host }
