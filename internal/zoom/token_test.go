package zoom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// endpoint runs f with a token endpoint that answers as the test wants.
func endpoint(t *testing.T, answer http.HandlerFunc, f func(t *testing.T, cfg TokenConfig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := pipenet.Serve(answer)
		defer server.Close()
		f(t, TokenConfig{ClientID: "id", ClientSecret: "s3cret-value", URL: "http://zoom/oauth/token", HTTP: server.Client()})
	})
}

// app is a token endpoint that accepts one secret. It is safe for concurrent use.
type app struct {
	mu       sync.Mutex
	secret   string
	requests int
}

func (a *app) answer(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	if _, secret, _ := r.BasicAuth(); secret != a.secret {
		deny(w, "Invalid client_id or client_secret", "invalid_client")
		return
	}
	grant(w, fmt.Sprintf("eyJ%d", a.requests), `,"expires_in":3600`)
}

func (a *app) takes(secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secret = secret
}

func (a *app) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

func grant(w http.ResponseWriter, token string, rest string) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","scope":"a b"%s}`, token, rest)
}

func deny(w http.ResponseWriter, reason, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"reason":%q,"error":%q}`, reason, code)
}

// TestGrants: the request for a token depends on whether there is an account id.
func TestGrants(t *testing.T) {
	var form map[string][]string
	var user, password, contentType string
	handler := func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() //nolint:errcheck
		form, contentType = r.PostForm, r.Header.Get("Content-Type")
		user, password, _ = r.BasicAuth()
		grant(w, "eyJ1", `,"expires_in":3599`)
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		for account, want := range map[string]string{
			"":     "map[grant_type:[client_credentials]]",
			"acct": "map[account_id:[acct] grant_type:[account_credentials]]",
		} {
			cfg.AccountID = account
			if _, err := NewTokenSource(cfg).token(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(form); got != want || user != "id" || password != "s3cret-value" || contentType != "application/x-www-form-urlencoded" {
				t.Errorf("sent %s as %s, Basic %s:%s; want %s", got, contentType, user, password, want)
			}
		}
	})
}

func TestContentTypeDoesNotMatter(t *testing.T) {
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "nonsense;;", ""} {
		handler := func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			fmt.Fprint(w, `{"access_token":"eyJ1","token_type":"bearer","expires_in":3600}`)
		}
		endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if token, err := NewTokenSource(cfg).token(ctx, ""); err != nil || token.value != "eyJ1" {
				t.Errorf("%q: %q, %v", contentType, token.value, err)
			}
		})
	}
}

func TestOneRequestForAll(t *testing.T) {
	requests := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		requests++
		time.Sleep(time.Second)
		grant(w, fmt.Sprintf("eyJ%d", requests), `,"expires_in":3600`)
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		tokens := NewTokenSource(cfg)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if token, err := tokens.token(t.Context(), ""); err != nil || token.value != "eyJ1" {
					t.Errorf("%q, %v", token.value, err)
				}
			})
		}
		wg.Wait()
		if requests != 1 {
			t.Errorf("%d requests for 50 callers", requests)
		}
	})
}

// TestRenewal: a token is renewed before it expires, and the old one serves until it is.
func TestRenewal(t *testing.T) {
	requests, failing := 0, false
	handler := func(w http.ResponseWriter, r *http.Request) {
		requests++
		if failing {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		grant(w, fmt.Sprintf("eyJ%d", requests), `,"expires_in":1000`)
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		tokens := NewTokenSource(cfg)
		want := func(token string) {
			t.Helper()
			if got, err := tokens.token(t.Context(), ""); got.value != token || err != nil {
				t.Errorf("%q, %v; want %s", got.value, err, token)
			}
		}
		want("eyJ1")
		time.Sleep(799 * time.Second)
		want("eyJ1")
		time.Sleep(102 * time.Second) // the token is now 901 s old
		failing = true
		want("eyJ1")
		failing = false
		want("eyJ3")
		if requests != 3 {
			t.Errorf("%d requests", requests)
		}
	})
}

// TestNeverGivesUp: for a day the endpoint fails in every transient way, and the source keeps
// trying.
func TestNeverGivesUp(t *testing.T) {
	var start time.Time
	var requests atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		if n == 1 {
			start = time.Now()
		}
		if time.Since(start) > 24*time.Hour {
			grant(w, "eyJ1", "")
			return
		}
		switch n % 6 {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>Bad Gateway</html>")
		case 2:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "<html>200 but no JSON</html>")
		case 3:
			time.Sleep(tokenTimeout + time.Second) // longer than the client waits
		case 4:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"token_type":"bearer"}`)
		case 5:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"try later"}`)
		}
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		if token, err := NewTokenSource(cfg).token(t.Context(), ""); err != nil || token.value != "eyJ1" {
			t.Errorf("%q, %v", token.value, err)
		}
		time.Sleep(time.Minute) // until the last slow answer has ended
		if n := requests.Load(); n < 24*60 || n > 24*3600 {
			t.Errorf("%d requests in a day of failures", n)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	var at []time.Time
	handler := func(w http.ResponseWriter, r *http.Request) {
		at = append(at, time.Now())
		if len(at) == 1 {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		grant(w, "eyJ1", "")
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		if _, err := NewTokenSource(cfg).token(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if waited := at[1].Sub(at[0]); waited < 90*time.Second {
			t.Errorf("asked again after %s, not 90 s", waited)
		}
	})
}

func TestMissingExpiryIsNotForEver(t *testing.T) {
	for _, rest := range []string{``, `,"expires_in":0`, `,"Expire_in":3600`, `,"expires_in":-5`, `,"expires_in":99999999`} {
		requests := 0
		handler := func(w http.ResponseWriter, r *http.Request) {
			requests++
			grant(w, "eyJ1", rest)
		}
		endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
			tokens := NewTokenSource(cfg)
			for range 3 {
				if _, err := tokens.token(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute)
			}
			if requests != 2 {
				t.Errorf("expiry %q: %d requests in an hour, want one each half hour", rest, requests)
			}
		})
	}
}

func TestDeniedCredentialsEndAtOnce(t *testing.T) {
	for code, advice := range map[string]string{
		"invalid_client": "ZOOM_CLIENT_SECRET", "invalid_request": "ZOOM_ACCOUNT_ID", "unsupported_grant_type": "ZOOM_ACCOUNT_ID",
	} {
		handler := func(w http.ResponseWriter, r *http.Request) { deny(w, "Zoom's reason with s3cret-value", code) }
		endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
			_, err := NewTokenSource(cfg).token(t.Context(), "")
			denied, ok := errors.AsType[*CredentialsError](err)
			if !ok || denied.Code != code || denied.Grant != "client_credentials" || denied.Status != 400 {
				t.Fatalf("%v", err)
			}
			text := err.Error()
			if !strings.Contains(text, advice) || !strings.Contains(text, "Zoom's reason") || strings.Contains(text, "s3cret") {
				t.Error(text)
			}
		})
	}
}

// TestDeniedLater: credentials that have worked before are tried again, slowly, since Zoom's
// endpoint may deny them by mistake.
func TestDeniedLater(t *testing.T) {
	var at []time.Time
	handler := func(w http.ResponseWriter, r *http.Request) {
		at = append(at, time.Now())
		if n := len(at); n == 1 || n == 5 {
			grant(w, fmt.Sprintf("eyJ%d", n), `,"expires_in":100`)
			return
		}
		deny(w, "Invalid client_id or client_secret", "invalid_client")
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		tokens := NewTokenSource(cfg)
		for _, want := range []string{"eyJ1", "eyJ5"} {
			if token, err := tokens.token(t.Context(), ""); err != nil || token.value != want {
				t.Fatalf("%q, %v; want %s", token.value, err, want)
			}
			time.Sleep(101 * time.Second)
		}
		for i := 2; i < len(at); i++ {
			if pause := at[i].Sub(at[i-1]); pause < time.Minute {
				t.Errorf("asked again after %s", pause)
			}
		}
	})
}

// TestDeniedCredentialsAreReadAgain: the files of refused credentials may have changed before the
// refusal or after it. New credentials are tried at once, and old ones not meanwhile.
func TestDeniedCredentialsAreReadAgain(t *testing.T) {
	for _, worked := range []bool{false, true} {
		for _, after := range []time.Duration{0, 20 * time.Second, 90 * time.Second} {
			if !worked && after > 0 {
				continue // credentials that never worked end at once
			}
			right, zoom := "right-1", &app{secret: "right-1"}
			endpoint(t, zoom.answer, func(t *testing.T, cfg TokenConfig) {
				var file atomic.Value
				file.Store("right-1")
				var tokens *TokenSource
				cfg.ClientSecret = "wrong"
				cfg.Reread = func() { tokens.Replace("id", file.Load().(string), "") }
				tokens = NewTokenSource(cfg)
				if worked {
					tokens.Replace("id", "right-1", "")
					if _, err := tokens.token(t.Context(), ""); err != nil {
						t.Fatal(err)
					}
					time.Sleep(55 * time.Minute) // the token still works, but is due for renewal
					right = "right-2"
					zoom.takes(right)
				}
				if after == 0 {
					file.Store(right)
				} else {
					time.Sleep(10 * time.Minute) // the token has expired
					time.AfterFunc(after, func() { file.Store(right) })
				}
				before, began := zoom.asked(), time.Now()
				token, err := tokens.token(t.Context(), "")
				if err != nil || token.value == "eyJ1" {
					t.Fatalf("worked %t, swapped after %s: %q, %v", worked, after, token.value, err)
				}
				took, denied := time.Since(began), zoom.asked()-before-1
				if took > after+rereadPeriod || denied > 1+int(after/deniedPause) {
					t.Errorf("worked %t, swapped after %s: taken after %s, %d denials", worked, after, took, denied)
				}
			})
		}
	}
}

func TestTokenFollowsItsContext(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		tokens := NewTokenSource(cfg)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := tokens.token(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("the credentials were carried to another place")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if token, err := NewTokenSource(cfg).token(ctx, ""); err == nil {
			t.Errorf("got %q", token.value)
		}
	})
}

// TestTokenFaultsOfTheSimulator: the client copes with the simulator's faults of the token
// endpoint.
func TestTokenFaultsOfTheSimulator(t *testing.T) {
	for _, mode := range []zoomsim.TokenMode{
		zoomsim.TokenHTTP500, zoomsim.TokenHTML, zoomsim.TokenNoExpires, zoomsim.TokenSlow, zoomsim.TokenHang, zoomsim.TokenTooMany,
	} {
		bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
			fault := zoomsim.TokenFault{Mode: mode, Delay: time.Minute, RetryAfter: time.Minute}
			if err := w.sim.FailTokens(fault, zoomsim.Span{Count: 3}); err != nil {
				t.Fatal(err)
			}
			s, err := w.dialer.Dial(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			s.conn.CloseNow() //nolint:errcheck
		})
	}
	bubble(t, zoomsim.Options{}, func(t *testing.T, w *world) {
		if err := w.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenInvalidClient}, zoomsim.Span{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.dialer.Dial(t.Context()); !is[*CredentialsError](err) {
			t.Errorf("%v", err)
		}
	})
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// TestDenialsAreKnownWhateverTheSecrets: Zoom's errors are recognised even if a secret contains the
// same text and is masked.
func TestDenialsAreKnownWhateverTheSecrets(t *testing.T) {
	for code := range advices {
		for _, secret := range []string{code, code[len(code)-6:] + "-must-not-leak"} {
			cfg := TokenConfig{ClientID: secret, ClientSecret: secret, AccountID: secret}
			body := fmt.Appendf(nil, `{"reason":"of %s","error":%q}`, secret, code)
			err := explain(errors.New("no token"), cfg, &answer{status: http.StatusBadRequest, body: body})
			denied := denial(err)
			if denied == nil || denied.Code != code {
				t.Errorf("with the secret %q: %v", secret, err)
			} else if denied.Reason != "of ***" {
				t.Errorf("the reason is %q", denied.Reason)
			}
		}
	}
}
