package forward

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// maxAnswer is how much of an answer is read, so that its connection can be used again.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds what an endpoint may ask for.
	maxRetryAfter = 5 * time.Minute
)

// newClient makes a client that follows no redirect: the event would go where nobody has
// said, and as a GET without its body.
func newClient(timeout time.Duration, lanes int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() // it is documented to be one
	transport.MaxIdleConnsPerHost = lanes
	return &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusal is why an attempt did not deliver.
type refusal struct {
	code       string        // timeout, connection, or http_ and the status
	text       string        // for people, without the endpoint's URL
	ofEvent    bool          // it is about this event, not about the endpoint
	retryAfter time.Duration // as the endpoint asks
}

// post makes one attempt; nil: it is delivered.
func (f *forwarder) post(ctx context.Context, m *inspect.Message) *refusal {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.To.String(), bytes.NewReader(m.Body))
	if err != nil {
		return &refusal{code: "connection", text: cause(err).Error()}
	}
	request.Header = f.header(m, time.Now())
	answer, err := f.client.Do(request)
	if err != nil {
		return failed(err)
	}
	defer answer.Body.Close()                                   //nolint:errcheck // it was only read
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) //nolint:errcheck // the status says it all
	return classify(answer)
}

// header is that of Zoom's webhook, in its lower-case names, and the message's id. Of what
// Zoom sent with the event, the time stamp and the signature are made anew.
func (f *forwarder) header(m *inspect.Message, now time.Time) http.Header {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {f.UserAgent},
		message.HeaderSentAt: {timestamp}, message.HeaderZoomSignature: {sign(f.Secret(), timestamp, m.Body)},
	}
	for _, name := range []string{message.HeaderID, message.HeaderTrackingID, message.HeaderRequestID, message.HeaderTraceparent} {
		if value := m.Header.Get(name); value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			h[name] = []string{value}
		}
	}
	return h
}

// sign is Zoom's signature of a webhook.
func sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%s:", timestamp)
	mac.Write(body) //nolint:errcheck // a hash takes everything
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// classify says what an answer means.
func classify(answer *http.Response) *refusal {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	r := &refusal{code: "http_" + strconv.Itoa(answer.StatusCode), text: fmt.Sprintf("the endpoint answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		r.ofEvent = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.retryAfter = min(retryAfter(answer.Header.Get("Retry-After"), time.Now()), maxRetryAfter)
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

func failed(err error) *refusal {
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return &refusal{code: "timeout", text: "the endpoint did not answer in time"}
	}
	return &refusal{code: "connection", text: "no connection to the endpoint: " + message.Short(cause(err).Error(), message.MaxText)}
}

// cause leaves out the URL, whose query may be a secret.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// redactedURL is an endpoint as logs may have it: its path and query may be secret.
func redactedURL(to *url.URL) string { return to.Scheme + "://" + to.Host }
