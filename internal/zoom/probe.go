package zoom

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// TokenInfo is what one token request revealed, without the token.
type TokenInfo struct {
	Grant    string
	Lifetime time.Duration // 0: Zoom did not say
	Scopes   []string      // none: Zoom did not say
	APIURL   string        // "": Zoom did not say

	// Date is the time on Zoom's clock, in whole seconds. At is the time on this
	// machine's clock when Zoom set Date, give or take Within. A zero Date: Zoom did
	// not say.
	Date, At time.Time
	Within   time.Duration
}

// Ahead is how far this machine's clock is ahead of Zoom's, to about a second;
// negative: behind. It is zero if the difference is within the precision of the
// measurement.
func (i TokenInfo) Ahead() time.Duration {
	const resolution = time.Second / 2 // of Date, to either side
	ahead := i.At.Sub(i.Date.Add(resolution))
	if ahead.Abs() <= i.Within+resolution {
		return 0
	}
	return ahead
}

// Probe makes one token request, whether or not a token is cached, and caches the
// new token. The error is safe to show; a *CredentialsError is final. Even with an
// error, TokenInfo holds what the answer revealed.
func (t *TokenSource) Probe(ctx context.Context) (TokenInfo, error) {
	watch := &watchedAnswer{base: t.cfg.HTTP.Transport}
	client := *t.cfg.HTTP
	client.Transport = watch
	once := &TokenSource{cfg: t.cfg}
	once.cfg.HTTP = &client
	token, err := once.fetch(ctx)
	info := watch.result()
	info.Grant = t.cfg.grant()
	if err != nil {
		if denied := denial(err); denied != nil {
			err = denied
		}
		return info, err
	}
	t.store(token, nil)
	return info, nil
}

// watchedAnswer is a RoundTripper that records what the token endpoint answers
// besides the token. It serves one request.
type watchedAnswer struct {
	base http.RoundTripper

	mu   sync.Mutex // net/http may call the hooks from other goroutines
	sent time.Time
	came time.Time
	info TokenInfo
}

func (w *watchedAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	hooks := &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.noteTime(&w.sent) },
		GotFirstResponseByte: func() { w.noteTime(&w.came) },
	}
	answer, err := w.base.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), hooks)))
	if err != nil {
		return nil, err
	}
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	answer.Body.Close() //nolint:errcheck // it was read
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	w.read(answer.Header, body)
	return answer, nil
}

func (w *watchedAnswer) noteTime(at *time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*at = time.Now()
}

func (w *watchedAnswer) read(h http.Header, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if date, err := http.ParseTime(h.Get("Date")); err == nil && !w.sent.IsZero() {
		way := max(0, w.came.Sub(w.sent))
		w.info.Date, w.info.At, w.info.Within = date, w.sent.Add(way/2), way/2
	}
	var told struct {
		ExpiresIn any    `json:"expires_in"`
		Scope     string `json:"scope"`
		APIURL    string `json:"api_url"`
	}
	if json.Unmarshal(body, &told) != nil {
		return // fetch says what is wrong with it
	}
	if told.ExpiresIn != nil {
		w.info.Lifetime = lifetime(told.ExpiresIn)
	}
	w.info.Scopes, w.info.APIURL = strings.Fields(told.Scope), told.APIURL
}

func (w *watchedAnswer) result() TokenInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}
