package zoom

import (
	"cmp"
	"context"
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	tokenTimeout = 10 * time.Second // bounds one request to the token endpoint
	// unknownLifetime is a token's lifetime if Zoom does not state it (it states
	// 3600 s). It is short; should it be too long, the token is refused at the dial and
	// replaced.
	unknownLifetime = 30 * time.Minute
	// deniedPause is the least pause between requests with denied credentials that
	// have worked before, and so may work again.
	deniedPause = time.Minute
	// rereadPeriod is how often denied credentials are read again in that pause.
	rereadPeriod = 5 * time.Second
	// provenPeriod is the age of the last token at which Prove requests a new one;
	// provenCheckPeriod is how often Prove checks, in case the credentials were denied
	// in another request.
	provenPeriod      = 24 * time.Hour
	provenCheckPeriod = time.Minute
)

// TokenConfig describes an app.
type TokenConfig struct {
	ClientID, ClientSecret string
	AccountID              string // set: grant account_credentials, otherwise client_credentials
	URL                    string // token endpoint
	HTTP                   *http.Client
	// Reread reads the credentials' files again and may call Replace. It is called
	// when Zoom has denied the credentials, and every few seconds until it accepts
	// some; may be nil.
	Reread func()
	// Denied decides whether to keep trying credentials that Zoom has denied and that
	// have never worked, with pauses of at least a minute. It may block; nil: no.
	Denied func(context.Context) (again bool)
	Log    zerolog.Logger
}

func (c TokenConfig) grant() string {
	if c.AccountID != "" {
		return "account_credentials"
	}
	return "client_credentials"
}

// basic is the app's credentials in the form of the token request's Authorization header.
func (c TokenConfig) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ClientID) + ":" + url.QueryEscape(c.ClientSecret)))
}

// TokenSource fetches and caches the access token of one app. All sessions of
// the app share one TokenSource. It is safe for concurrent use: it makes one
// request at a time, and all waiting callers share a new token. It starts no
// goroutine.
type TokenSource struct {
	cfg      TokenConfig
	fetching chan struct{} // holds one element while a request is under way

	mu             sync.Mutex
	cached         accessToken
	everAccepted   bool // some credentials were accepted once
	credentials    Credentials
	contention     tokenContention
	closesAtExpiry bool // Zoom was seen to close a session when its token expired
	stats          TokenStats

	changed chan struct{} // closed when there is another token, or other credentials
}

// TokenStats is a snapshot of a TokenSource's state and counters.
type TokenStats struct {
	Expires   time.Time // expiry of the cached token; zero: there is none, or it was refused
	Refreshes uint64    // tokens obtained
	Failures  uint64    // failed requests
	Waiting   bool      // a caller waits for a token
	Since     time.Time // first failure since the last token; zero: there was none
	Err       error     // latest failure since the last token
	Rivals    string    // why somebody else seems to fetch tokens for the app; "": nobody does

	Credentials Credentials // the present ones
}

// Credentials is whether Zoom accepts an app's credentials.
type Credentials int

// The values.
const (
	CredentialsUntried Credentials = iota
	CredentialsAccepted
	CredentialsDenied
)

// Replace sets the credentials to use from the next request on. The cached token
// stays in use until it expires.
func (t *TokenSource) Replace(clientID, clientSecret, accountID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg.ClientID == clientID && t.cfg.ClientSecret == clientSecret && t.cfg.AccountID == accountID {
		return
	}
	t.cfg.ClientID, t.cfg.ClientSecret, t.cfg.AccountID = clientID, clientSecret, accountID
	t.credentials = CredentialsUntried
	t.contention = tokenContention{} // it may be another app
	t.notifyChange()                 // no need to wait any longer for the old ones to be accepted
}

// notifyChange wakes all waiting callers; the caller holds t.mu.
func (t *TokenSource) notifyChange() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// watchChanges returns a channel that is closed when there is another token, or other
// credentials.
func (t *TokenSource) watchChanges() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// config returns the configuration with the present credentials.
func (t *TokenSource) config() TokenConfig {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg
}

// Trouble is why a caller waits for a token in vain, or would if it needed one; "" if
// there is no trouble.
func (s TokenStats) Trouble() string {
	if s.Err == nil || !s.Waiting && s.Credentials != CredentialsDenied {
		return ""
	}
	return s.Err.Error()
}

// Stats is safe for concurrent use.
func (t *TokenSource) Stats() TokenStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.stats
	st.Credentials = t.credentials
	if t.cached.value != "" && !t.cached.refused {
		st.Expires = t.cached.asked.Add(t.cached.life)
	}
	if t.contention.contended(time.Now()) {
		st.Rivals = contentionDetail
	}
	return st
}

type accessToken struct {
	value   string
	asked   time.Time     // monotonic time at which the request was sent
	renewal time.Duration // age from which it is renewed
	life    time.Duration
	refused bool // Zoom has refused it for at least one subscription
}

func (t accessToken) fresh() bool { return t.value != "" && time.Since(t.asked) < t.renewal }
func (t accessToken) valid() bool { return t.value != "" && time.Since(t.asked) < t.life }

// NewTokenSource returns a source without a token. Nothing is requested before it is used.
func NewTokenSource(cfg TokenConfig) *TokenSource {
	cfg.HTTP = withoutRedirects(cfg.HTTP)
	cfg.HTTP.Transport = jsonAnswers{namingProxy(cmp.Or(cfg.HTTP.Transport, http.DefaultTransport))}
	return &TokenSource{cfg: cfg, fetching: make(chan struct{}, 1), changed: make(chan struct{})}
}

// withoutRedirects returns a copy of a client that does not follow redirects: a
// redirect would pass the token on. nil means http.DefaultClient.
func withoutRedirects(client *http.Client) *http.Client {
	plain := *cmp.Or(client, http.DefaultClient)
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &plain
}

// jsonAnswers causes every answer to be parsed as JSON. Zoom sends nothing else,
// and oauth2 would parse text/plain, which proxies and test servers claim, as a form.
type jsonAnswers struct{ base http.RoundTripper }

func (j jsonAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := j.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if seen, ok := r.Context().Value(answerKey{}).(*answer); ok {
		if err := seen.read(response); err != nil {
			return nil, err
		}
	}
	response.Header.Set("Content-Type", "application/json")
	return response, nil
}

// token returns an access token: the cached one until 80 to 90 % of its lifetime have
// passed, and until it expires as long as no newer one can be had. It retries failures
// that may be temporary, with backoff and jitter, until the context ends. It returns the
// context's cause, or a *CredentialsError if the credentials have never worked and a
// retry cannot help.
//
// refused is a token that the caller cannot use, or "". It is replaced at once, or
// after a pause if refused tokens were replaced recently.
func (t *TokenSource) token(ctx context.Context, refused string) (accessToken, error) {
	if token := t.current(); token.fresh() && token.value != refused {
		return token, nil
	}
	if err := t.awaitReplaceable(ctx, refused); err != nil {
		return accessToken{}, err
	}
	select {
	case t.fetching <- struct{}{}:
	default:
		if old := t.current(); old.valid() && old.value != refused {
			return old, nil // another caller is fetching the next one
		}
		if err := t.acquireFetch(ctx); err != nil {
			return accessToken{}, err
		}
	}
	defer func() { <-t.fetching }()
	if token := t.current(); token.fresh() && token.value != refused {
		return token, nil // another caller has fetched it
	}
	return t.renew(ctx, refused)
}

// acquireFetch waits until no other caller fetches a token, and takes the right to.
func (t *TokenSource) acquireFetch(ctx context.Context) error {
	select {
	case t.fetching <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Prove keeps the credentials proven before they are needed, by requesting a token: at
// once, when the credentials were replaced or denied, and when the last token is a day
// old. It does so no more often, since a new token may invalidate the app's older ones.
// It blocks until the context ends, and returns its cause, or returns a *CredentialsError
// if the credentials have never worked and are not to be tried again.
func (t *TokenSource) Prove(ctx context.Context) error {
	for {
		changed := t.watchChanges()
		wait := t.proofValidFor()
		if wait <= 0 {
			if err := t.prove(ctx); err != nil {
				return err
			}
			continue
		}
		if err := awaitChange(ctx, changed, min(wait, provenCheckPeriod)); err != nil {
			return err
		}
	}
}

func (t *TokenSource) prove(ctx context.Context) error {
	if err := t.acquireFetch(ctx); err != nil {
		return err
	}
	defer func() { <-t.fetching }()
	if t.proofValidFor() > 0 {
		return nil // another caller has fetched a token
	}
	_, err := t.renew(ctx, t.current().value)
	return err
}

// proofValidFor is how long the credentials need no proof.
func (t *TokenSource) proofValidFor() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.credentials != CredentialsAccepted {
		return 0
	}
	return provenPeriod - time.Since(t.cached.asked)
}

func (t *TokenSource) renew(ctx context.Context, refused string) (accessToken, error) {
	t.setWaiting(true)
	defer t.setWaiting(false)
	pause := newPause(500*time.Millisecond, 30*time.Second)
	for {
		changed := t.watchChanges()
		token, err := t.fetch(ctx)
		if err == nil {
			t.store(token, changed)
			t.cfg.Log.Info().Str("code", "token.obtained").Str("grant", t.config().grant()).Stringer("lifetime", token.life).Msg("access token obtained")
			return token, nil
		}
		if ctx.Err() != nil {
			return accessToken{}, context.Cause(ctx)
		}
		denied := denial(err)
		t.noteFailure(err, denied != nil && !isClosed(changed))
		if denied != nil && t.reread(changed) {
			continue
		}
		if old := t.current(); old.valid() && old.value != refused {
			t.cfg.Log.Warn().Str("code", "token.unrenewed").Err(err).Msg("access token could not be renewed; the old one is still valid")
			return old, nil
		}
		wait := pause.NextBackOff()
		if denied != nil {
			again := t.wasEverAccepted() || t.cfg.Denied != nil && t.cfg.Denied(ctx)
			if !again {
				return accessToken{}, denied
			}
			wait = max(wait, deniedPause)
		}
		wait = max(wait, retryAfter(err))
		t.cfg.Log.Warn().Str("code", "token.failed").Err(err).Stringer("pause", wait.Round(time.Millisecond)).Msg("no access token; trying again")
		if t.waitToRetry(ctx, wait, changed, denied != nil) {
			pause.Reset()
		}
		if ctx.Err() != nil {
			return accessToken{}, context.Cause(ctx)
		}
	}
}

// waitToRetry waits, and reports whether the credentials were replaced. If they were denied,
// it reads them again every rereadPeriod.
func (t *TokenSource) waitToRetry(ctx context.Context, wait time.Duration, changed <-chan struct{}, denied bool) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	look := time.NewTicker(rereadPeriod)
	defer look.Stop()
	for {
		select {
		case <-changed:
			return true
		case <-ctx.Done():
			return denied && t.reread(changed)
		case <-look.C:
			if denied {
				t.reread(changed)
			}
		}
	}
}

// reread reads the credentials again, and reports whether there was a change, now or since
// watchChanges returned the channel.
func (t *TokenSource) reread(changed <-chan struct{}) bool {
	if t.cfg.Reread != nil {
		t.cfg.Reread()
	}
	return isClosed(changed)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// refused records that Zoom has refused this token for one subscription, and whether the
// token is to blame. Other subscriptions keep using it until it is refused for them, too.
func (t *TokenSource) refused(token string, blamed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cached.value != token || t.cached.refused {
		return
	}
	t.cached.refused = true
	if blamed && t.cached.valid() {
		t.contention.noteRefusal(time.Now())
	}
}

// replacePause is how long a refused token may not be replaced yet; 0: there already is
// another one, or it may be fetched.
func (t *TokenSource) replacePause(refused string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if refused == "" || t.cached.value != refused {
		return 0
	}
	return t.contention.wait(time.Now())
}

// awaitReplaceable waits until a refused token may be replaced, or was replaced.
func (t *TokenSource) awaitReplaceable(ctx context.Context, refused string) error {
	for {
		changed, pause := t.watchChanges(), t.replacePause(refused)
		if pause == 0 {
			return nil
		}
		t.cfg.Log.Info().Str("code", "token.refused").Stringer("pause", pause.Round(time.Millisecond)).Msg("Zoom has refused one access token after another; fetching the next one after a pause")
		if err := awaitChange(ctx, changed, pause); err != nil {
			return err
		}
	}
}

// awaitChange waits until there is a change, but no longer than longest. It returns the
// context's cause if the context ends.
func awaitChange(ctx context.Context, changed <-chan struct{}, longest time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	select {
	case <-waiting.Done():
	case <-changed:
	}
	return context.Cause(ctx)
}

// ClosesAtExpiry reports whether Zoom is known to close a session when its token
// expires. Zoom never published whether it does.
func (t *TokenSource) ClosesAtExpiry() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closesAtExpiry
}

// LearnClosesAtExpiry records that it does: this process has seen it, or another replica has.
func (t *TokenSource) LearnClosesAtExpiry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closesAtExpiry = true
}

// Cached returns the cached token, or "". It serves to mask the token wherever it
// might show.
func (t *TokenSource) Cached() string { return t.current().value }

func (t *TokenSource) current() accessToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cached
}

func (t *TokenSource) wasEverAccepted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.everAccepted
}

// store caches a new token. before is what watchChanges returned before the request.
func (t *TokenSource) store(token accessToken, before <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !isClosed(before) { // otherwise the credentials may have been replaced
		t.credentials = CredentialsAccepted
	}
	if t.cached.refused {
		t.contention.noteReplacement(time.Now())
	}
	t.cached = token
	t.notifyChange()
	t.everAccepted = true
	t.stats.Refreshes++
	t.stats.Since, t.stats.Err = time.Time{}, nil
}

func (t *TokenSource) setWaiting(is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Waiting = is
}

func (t *TokenSource) noteFailure(err error, denied bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if denied {
		t.credentials = CredentialsDenied
	}
	t.stats.Failures++
	t.stats.Err = err
	if t.stats.Since.IsZero() {
		t.stats.Since = time.Now()
	}
}

// fetch makes one request. It does not use oauth2's own cached source, which keeps
// the first caller's context for ever and treats a token without expires_in as
// immortal.
func (t *TokenSource) fetch(ctx context.Context) (accessToken, error) {
	cfg, params := t.config(), url.Values{}
	if cfg.AccountID != "" {
		params = url.Values{"grant_type": {"account_credentials"}, "account_id": {cfg.AccountID}}
	}
	app := clientcredentials.Config{
		ClientID:       cfg.ClientID,
		ClientSecret:   cfg.ClientSecret,
		TokenURL:       cfg.URL,
		EndpointParams: params,
		AuthStyle:      oauth2.AuthStyleInHeader,
	}
	asked := time.Now()
	var seen answer
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, cfg.HTTP), tokenTimeout)
	defer cancel()
	token, err := app.Token(context.WithValue(ctx, answerKey{}, &seen))
	if err != nil {
		return accessToken{}, explain(err, cfg, &seen)
	}
	life := lifetime(token.Extra("expires_in"))
	early := 0.8 + 0.1*rand.Float64() // replicas must not renew in step
	return accessToken{value: token.AccessToken, asked: asked, renewal: time.Duration(early * float64(life)), life: life}, nil
}

// lifetime converts expires_in, in seconds; oauth2 keeps it only as a wall-clock time.
func lifetime(expiresIn any) time.Duration {
	seconds, _ := expiresIn.(float64)
	if seconds <= 0 || seconds > 86400 {
		return unknownLifetime
	}
	return time.Duration(seconds * float64(time.Second))
}

// newPause returns a backoff that doubles from first to longest and never gives up.
func newPause(first, longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first),
		backoff.WithMultiplier(2),
		backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0),
	)
}
