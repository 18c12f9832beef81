package zoomsim

import (
	"crypto/rand"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// oauthError is the body of Zoom's refusals, all of them with HTTP 400. The texts are from
// published responses.
type oauthError struct {
	Reason string `json:"reason"`
	Error  string `json:"error"`
}

var (
	errClient      = oauthError{"Invalid client_id or client_secret", "invalid_client"}
	errAccount     = oauthError{"Bad Request", "invalid_request"}
	errGrant       = oauthError{"unsupported grant type", "unsupported_grant_type"}
	errClientGrant = oauthError{"grant type client_credentials is not supported", "unsupported_grant_type"}
)

func (s *Sim) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		writeJSON(w, http.StatusBadRequest, errAccount)
		return
	}
	io.Copy(io.Discard, r.Body) // net/http notices that the client left a hanging request only after the body is read
	fault := useNow[TokenFault](s, faultToken, "")
	if s.failToken(w, r, fault) {
		return
	}
	if refusal, ok := s.checkToken(r); !ok {
		writeJSON(w, http.StatusBadRequest, refusal)
		return
	}
	token := s.IssueToken()
	if after, is := s.rival(); is {
		time.AfterFunc(after, func() { s.kill(token) })
	}
	answer := map[string]any{
		"access_token": token,
		"token_type":   "bearer",
		"expires_in":   max(1, int(s.opt.TokenLifetime/time.Second)),
		"scope":        "marketplace:write:websocket_connection meeting:read:meeting:admin recording:read:list_user_recordings:admin",
		"api_url":      "https://api.zoom.us",
	}
	if fault.Mode == TokenNoExpires {
		delete(answer, "expires_in")
	}
	writeJSON(w, http.StatusOK, answer)
}

// checkToken checks credentials and grant as Zoom does.
func (s *Sim) checkToken(r *http.Request) (oauthError, bool) {
	id, secret, ok := r.BasicAuth()
	if !ok || s.opt.ClientID != "" && (id != s.opt.ClientID || secret != s.opt.ClientSecret) {
		return errClient, false
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		return errGrant, false
	}
	switch r.Form.Get("grant_type") {
	case "client_credentials":
		return oauthError{}, true
	case "account_credentials":
		account := r.Form.Get("account_id")
		if account == "" || s.opt.AccountID != "" && account != s.opt.AccountID {
			return errAccount, false
		}
		return oauthError{}, true
	default:
		return errGrant, false
	}
}

// failToken applies a token fault. It reports whether the request has been answered.
func (s *Sim) failToken(w http.ResponseWriter, r *http.Request, f TokenFault) bool {
	switch f.Mode {
	case TokenHTTP500:
		http.Error(w, `{"reason":"Internal Server Error","error":"server_error"}`, http.StatusInternalServerError)
	case TokenHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n")
	case TokenTooMany:
		setRetryAfter(w, f.RetryAfter)
		writeJSON(w, http.StatusTooManyRequests, oauthError{"Too Many Requests", "rate_limited"})
	case TokenInvalidClient:
		writeJSON(w, http.StatusBadRequest, errClient)
	case TokenUnsupportedGrant:
		writeJSON(w, http.StatusBadRequest, errClientGrant)
	case TokenHang:
		<-r.Context().Done()
	case TokenSlow:
		return s.sleep(r.Context(), f.Delay) != nil
	default: // TokenNoExpires affects the regular answer
		return false
	}
	return true
}

// IssueToken returns a new access token as the token endpoint does, for tests that dial the
// WebSocket without asking the endpoint.
func (s *Sim) IssueToken() string {
	token := newToken()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	rotate := s.use(faultRotate, "") != nil
	for old, expires := range s.tokens {
		if rotate || !now.Before(expires) {
			delete(s.tokens, old)
		}
	}
	s.tokens[token] = now.Add(s.opt.TokenLifetime)
	return token
}

// rival returns how soon a rival program fetches a token too, if there is one.
func (s *Sim) rival() (after time.Duration, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.use(faultRival, "")
	if f == nil {
		return 0, false
	}
	return f.value.(time.Duration), true
}

// kill invalidates a token for future dials.
func (s *Sim) kill(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// tokenExpiry returns when the token expires, and whether it is valid now.
func (s *Sim) tokenExpiry(token string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	expires, ok := s.tokens[token]
	return expires, ok && time.Now().Before(expires)
}

// newToken returns an opaque token in the shape of a JWT.
func newToken() string {
	var random [96]byte
	rand.Read(random[:])
	text := base64.RawURLEncoding.EncodeToString(random[:])
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"sv":"000001","alg":"HS512","v":"2.0"}`))
	return head + ".eyJ" + text[:80] + "." + text[80:]
}

// setRetryAfter sets the header in whole seconds, unless d is 0.
func setRetryAfter(w http.ResponseWriter, d time.Duration) {
	if d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(d/time.Second))))
	}
}
