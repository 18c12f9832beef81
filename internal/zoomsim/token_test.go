package zoomsim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const formType = "application/x-www-form-urlencoded"

// ask requests a token.
func (z *zoom) ask(id, secret, query, contentType, body string) (*http.Response, string) {
	z.t.Helper()
	req, err := http.NewRequestWithContext(z.t.Context(), "POST", z.base+"/oauth/token"+query, strings.NewReader(body))
	if err != nil {
		z.t.Fatal(err)
	}
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := z.client.Do(req)
	if err != nil {
		z.t.Fatal(err)
	}
	_, text := answer(z.t, resp)
	return resp, text
}

func TestTokenEndpointAnswersAsZoomDoes(t *testing.T) {
	z := onTCP(t, zoomsim.Options{ClientID: "id", ClientSecret: "secret", AccountID: "acc"})
	const invalidClient = `{"reason":"Invalid client_id or client_secret","error":"invalid_client"}`
	const badRequest = `{"reason":"Bad Request","error":"invalid_request"}`
	for _, c := range []struct {
		name, id, secret, query, kind, body, want string
	}{
		{"account grant in the body", "id", "secret", "", formType, "grant_type=account_credentials&account_id=acc", ""},
		{"account grant in the query", "id", "secret", "?grant_type=account_credentials&account_id=acc", "", "", ""},
		{"client grant in the body", "id", "secret", "", formType, "grant_type=client_credentials", ""},
		{"wrong secret", "id", "secret\n", "", formType, "grant_type=client_credentials", invalidClient},
		{"wrong id", "di", "secret", "", formType, "grant_type=client_credentials", invalidClient},
		{"no credentials", "", "", "", formType, "grant_type=client_credentials", invalidClient},
		{"wrong account", "id", "secret", "", formType, "grant_type=account_credentials&account_id=cca", badRequest},
		{"no account", "id", "secret", "", formType, "grant_type=account_credentials", badRequest},
		{"JSON body", "id", "secret", "?grant_type=client_credentials", "application/json", `{"grant_type":"client_credentials"}`, "unsupported_grant_type"},
		{"unknown grant", "id", "secret", "", formType, "grant_type=password", "unsupported_grant_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := z.ask(c.id, c.secret, c.query, c.kind, c.body)
			if c.want != "" {
				if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, c.want) {
					t.Fatalf("answer %d %s, want 400 %s", resp.StatusCode, text, c.want)
				}
				return
			}
			var got struct {
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				ExpiresIn   int    `json:"expires_in"`
				Scope       string `json:"scope"`
				APIURL      string `json:"api_url"`
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("answer %d %s (%v)", resp.StatusCode, text, err)
			}
			if !strings.HasPrefix(got.AccessToken, "eyJ") || strings.Count(got.AccessToken, ".") != 2 ||
				got.TokenType != "bearer" || got.ExpiresIn != 3600 || got.Scope == "" || got.APIURL != "https://api.zoom.us" {
				t.Fatalf("answer %s", text)
			}
			z.dial("S1", got.AccessToken).next()
		})
	}
}

func TestEmptyClientIDAcceptsAnyClient(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	if resp, text := z.ask("any", "thing", "", formType, "grant_type=account_credentials&account_id=x"); resp.StatusCode != 200 {
		t.Fatalf("answer %d %s", resp.StatusCode, text)
	}
}

func TestTokenFaults(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	ask := func() (*http.Response, string) {
		return z.ask("id", "s", "", formType, "grant_type=client_credentials")
	}
	for _, c := range []struct {
		fault  zoomsim.TokenFault
		status int
		want   string
	}{
		{zoomsim.TokenFault{Mode: zoomsim.TokenHTTP500}, 500, "server_error"},
		{zoomsim.TokenFault{Mode: zoomsim.TokenHTML}, 502, "<html>"},
		{zoomsim.TokenFault{Mode: zoomsim.TokenTooMany, RetryAfter: 7 * time.Second}, 429, "rate_limited"},
		{zoomsim.TokenFault{Mode: zoomsim.TokenInvalidClient}, 400, "invalid_client"},
		{zoomsim.TokenFault{Mode: zoomsim.TokenUnsupportedGrant}, 400, "unsupported_grant_type"},
		{zoomsim.TokenFault{Mode: zoomsim.TokenNoExpires}, 200, "access_token"},
	} {
		if err := z.FailTokens(c.fault, zoomsim.Span{Count: 1}); err != nil {
			t.Fatal(err)
		}
		resp, text := ask()
		if resp.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: answer %d %s, want %d %s", c.fault.Mode, resp.StatusCode, text, c.status, c.want)
		}
		if c.fault.RetryAfter > 0 && resp.Header.Get("Retry-After") != "7" {
			t.Errorf("Retry-After %q, want 7", resp.Header.Get("Retry-After"))
		}
		if c.fault.Mode == zoomsim.TokenNoExpires && strings.Contains(text, "expires_in") {
			t.Errorf("expires_in in %s", text)
		}
		if resp, text := ask(); resp.StatusCode != 200 || !strings.Contains(text, "expires_in") {
			t.Errorf("%s: a count of 1 lasted longer: %d", c.fault.Mode, resp.StatusCode)
		}
	}
	if err := z.FailTokens(zoomsim.TokenFault{Mode: "nonsense"}, zoomsim.Span{}); err == nil {
		t.Error("an unknown mode was accepted")
	}
}

func TestSlowAndHangingTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		z.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenSlow, Delay: 3 * time.Second}, zoomsim.Span{Count: 1})
		start := time.Now()
		if resp, _ := z.ask("id", "s", "", formType, "grant_type=client_credentials"); resp.StatusCode != 200 || time.Since(start) != 3*time.Second {
			t.Errorf("slow: %d after %v", resp.StatusCode, time.Since(start))
		}
		z.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenHang}, zoomsim.Span{})
		z.client.Timeout = 10 * time.Second
		if _, err := z.client.Post(z.base+"/oauth/token", formType, strings.NewReader("grant_type=client_credentials")); err == nil {
			t.Error("hang: an answer")
		}
	})
}

func TestRotateKillsOlderTokens(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	first := z.IssueToken()
	second := z.IssueToken()
	z.do("rotate")
	if f := z.dial("S1", first).next(); !*f.Success {
		t.Fatal("a token died before the rotation")
	}
	third := z.IssueToken()
	for _, old := range []string{first, second} {
		if f := z.dial("S1", old).next(); *f.Success {
			t.Error("an old token opened a socket")
		}
	}
	if f := z.dial("S1", third).next(); !*f.Success {
		t.Error("the new token opened none")
	}
}

func TestRivalKillsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		z.do("rival?after=3s&count=1")
		fetch := func() string {
			_, text := z.ask("id", "s", "", formType, "grant_type=client_credentials")
			_, rest, _ := strings.Cut(text, `"access_token":"`)
			token, _, _ := strings.Cut(rest, `"`)
			return token
		}
		first, second := fetch(), fetch()
		if f := z.dial("S1", first).next(); !*f.Success {
			t.Error("it is dead at once")
		}
		time.Sleep(4 * time.Second)
		if f := z.dial("S1", first).next(); *f.Success {
			t.Error("it lives on")
		}
		if f := z.dial("S1", second).next(); !*f.Success {
			t.Error("the next one is dead too")
		}
	})
}
