package zoomsim

import (
	"net/http"

	"github.com/coder/websocket"
)

// serveWS upgrades and runs one socket to its end.
func (s *Sim) serveWS(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id, token := query.Get("subscriptionId"), query.Get("access_token")
	if id == "" {
		http.NotFound(w, r)
		return
	}
	if s.waitFor(r.Context(), func() bool { return s.use(faultFreeze, id) == nil }) != nil {
		return
	}
	refusal := useNow[Refusal](s, faultRefuse, id)
	if refusal.Mode == RefuseHTTP503 {
		setRetryAfter(w, refusal.RetryAfter)
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	expires, valid := s.tokenExpiry(token)
	var content string // of success:false
	switch {
	case refusal.Mode == RefuseOld:
		content = contentInvalidOld
	case refusal.Mode == RefuseNew:
		content = contentInvalidNew
	case token == "":
		content = contentEmpty
	case !valid:
		content = contentInvalidNew
	}

	k := &socket{sim: s, expires: expires, wake: make(chan struct{}, 1)}
	conn, err := websocket.Accept(&hijacker{w, k}, r, &websocket.AcceptOptions{
		CompressionMode:    websocket.CompressionDisabled,
		InsecureSkipVerify: true, // of the Origin header: not a browser's service
	})
	if err != nil {
		s.opt.Log.Warn().Err(err).Str("subscription", id).Msg("no WebSocket upgrade")
		if k.wire != nil {
			k.wire.finish()
		}
		return
	}
	k.conn = conn
	k.run(id, r.RemoteAddr, content)
}
