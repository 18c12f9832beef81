package zoomsim

import (
	"cmp"
	"net/http"

	"github.com/coder/websocket"
)

// serveWS upgrades a request and runs its socket until the end.
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
	expires, valid := s.tokenExpiry(token)
	if !valid && refusal.Mode == "" {
		refusal = useNow[Refusal](s, faultRefuseDead, id)
	}
	switch refusal.Mode {
	case RefuseHTTP503:
		refusal.Status = http.StatusServiceUnavailable
		fallthrough
	case RefuseHTTP:
		status := refusal.Status
		if status < 400 || status > 599 {
			status = http.StatusForbidden
		}
		setRetryAfter(w, refusal.RetryAfter)
		http.Error(w, http.StatusText(status), status)
		return
	}
	var content string // content of success:false
	switch {
	case refusal.Mode == RefuseClose, refusal.Mode == RefuseCut: // no build_connection
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
		InsecureSkipVerify: true, // of the Origin header: the service is not for browsers
	})
	if err != nil {
		s.opt.Log.Warn().Err(err).Str("subscription", id).Msg("no WebSocket upgrade")
		if k.wire != nil {
			k.wire.finish()
		}
		return
	}
	k.conn = conn
	k.run(id, r.RemoteAddr, farewellOf(refusal, content))
}

// farewellOf returns how a refused dial ends after the upgrade; nil if it is not refused.
func farewellOf(r Refusal, content string) *farewell {
	switch {
	case r.Mode == RefuseCut:
		return &farewell{}
	case r.Mode == RefuseClose:
		return &farewell{code: websocket.StatusCode(cmp.Or(r.Code, int(websocket.StatusPolicyViolation)))}
	case content != "":
		return &farewell{frame: refusalFrame(content), code: websocket.StatusNormalClosure}
	}
	return nil
}
