package zoom

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestProve: credentials are tried at the start, as soon as they are replaced, and otherwise once a
// day. A denial is reported at once, while connections keep using the token at hand.
func TestProve(t *testing.T) {
	zoom := &app{secret: "s3cret-value"}
	endpoint(t, zoom.answer, func(t *testing.T, cfg TokenConfig) {
		tokens := NewTokenSource(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tokens.Prove(ctx) }()
		stands := func(when string, want Credentials, fetched int) {
			t.Helper()
			synctest.Wait()
			if st := tokens.Stats(); st.Credentials != want || zoom.asked() != fetched || (st.Trouble() != "") != (want == CredentialsDenied) {
				t.Errorf("%s: %+v after %d requests, want %d and %d", when, st, zoom.asked(), want, fetched)
			}
		}
		stands("at the start", CredentialsAccepted, 1)
		time.Sleep(23 * time.Hour)
		stands("within a day", CredentialsAccepted, 1)
		time.Sleep(2 * time.Hour)
		stands("after a day", CredentialsAccepted, 2)
		if token, err := tokens.token(ctx, ""); err != nil || token.value != "eyJ3" {
			t.Errorf("%q, %v", token.value, err)
		}
		stands("after a connection had another token", CredentialsAccepted, 3)

		tokens.Replace("id", "left-behind", "")
		stands("replaced by wrong ones", CredentialsDenied, 4)
		if token, err := tokens.token(ctx, ""); err != nil || token.value != "eyJ3" {
			t.Errorf("the token at hand is not used meanwhile: %q, %v", token.value, err)
		}
		time.Sleep(50 * time.Minute) // the token is due for renewal, which fails
		if token, err := tokens.token(ctx, ""); err != nil || token.value != "eyJ3" {
			t.Errorf("the token at hand is not used meanwhile: %q, %v", token.value, err)
		}
		time.Sleep(10*time.Minute + time.Second)
		fetched := zoom.asked()
		if fetched > 4+61 {
			t.Errorf("%d requests in an hour of wrong credentials", fetched-4)
		}
		tokens.Replace("id", "s3cret-value", "")
		stands("replaced by right ones", CredentialsAccepted, fetched+1)

		zoom.takes("revoked") // a connection is the first to notice
		time.Sleep(2 * time.Hour)
		waiting, enough := context.WithTimeout(ctx, time.Second)
		tokens.token(waiting, "") //nolint:errcheck // it fails
		enough()
		stands("revoked", CredentialsDenied, fetched+2)
		zoom.takes("s3cret-value")
		time.Sleep(deniedPause + provenCheckPeriod + time.Second)
		stands("restored", CredentialsAccepted, fetched+3)
		cancel()
		if err := <-done; err != context.Canceled { //nolint:errorlint // as it is
			t.Error(err)
		}
	})
}

// TestDeniedForGood: credentials that never worked end the source, unless Denied returns true.
func TestDeniedForGood(t *testing.T) {
	requests := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests < 4 {
			deny(w, "Invalid client_id or client_secret", "invalid_client")
			return
		}
		grant(w, "eyJ1", "")
	}
	endpoint(t, handler, func(t *testing.T, cfg TokenConfig) {
		if err := NewTokenSource(cfg).Prove(t.Context()); !is[*CredentialsError](err) {
			t.Error(err)
		}
		asked := 0
		cfg.Denied = func(context.Context) bool { asked++; return true }
		began := time.Now()
		if token, err := NewTokenSource(cfg).token(t.Context(), ""); err != nil || token.value != "eyJ1" || asked != 2 || time.Since(began) < 2*deniedPause {
			t.Errorf("%q, %v, asked %d times, after %s", token.value, err, asked, time.Since(began))
		}
	})
}
