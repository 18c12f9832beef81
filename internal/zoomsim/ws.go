package zoomsim

import (
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// serveWS upgrades and runs one socket to its end.
func (s *Sim) serveWS(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id := query.Get("subscriptionId")
	if id == "" {
		http.NotFound(w, r)
		return
	}
	if !s.passFrozenDial(r, id) {
		return
	}
	refusal := s.refusal(id)
	if refusal.Mode == RefuseHTTP503 {
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", retryAfter(refusal.RetryAfter))
		}
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
		return
	}
	token := query.Get("access_token")
	expires, valid := s.tokenExpiry(token)
	content := refusal.Content
	if content == "" && token == "" {
		content = contentEmpty
	} else if content == "" && !valid {
		content = contentInvalidNew
	}

	h := &hijacker{ResponseWriter: w, make: func(conn net.Conn) *wire {
		return newWire(conn, s.opt.WriteTimeout, func() int { return s.readRate(id) })
	}}
	conn, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		CompressionMode:    websocket.CompressionDisabled,
		InsecureSkipVerify: true, // of the Origin header: not a browser's service
	})
	if err != nil {
		s.opt.Log.Warn().Err(err).Str("subscription", id).Msg("no WebSocket upgrade")
		if h.wire != nil {
			h.wire.finish(s.done)
		}
		return
	}
	k := &socket{
		sim:     s,
		wire:    h.wire,
		conn:    conn,
		wake:    make(chan struct{}, 1),
		refusal: content,
		expires: expires,
	}
	k.run(id, r.RemoteAddr)
}

// refusal is how the next dial of a subscription is to be refused. An empty
// Mode refuses nothing.
func (s *Sim) refusal(subscription string) Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	refusal, _ := faultOf[Refusal](s, s.sub(subscription), faultRefuse, time.Now())
	return refusal
}

// readRate is what the slow-reader fault leaves of reading, 0 for all.
func (s *Sim) readRate(subscription string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate, _ := faultOf[int](s, s.sub(subscription), faultSlowReader, time.Now())
	return rate
}

// passFrozenDial leaves a dial unanswered for as long as dials are frozen. It
// returns false if the client gave up or the simulator closed.
func (s *Sim) passFrozenDial(r *http.Request, subscription string) bool {
	for {
		s.mu.Lock()
		until, frozen := faultOf[time.Time](s, s.sub(subscription), faultFreezeDials, time.Now())
		changed := s.onChange()
		s.mu.Unlock()
		if !frozen {
			return true
		}
		var over <-chan time.Time
		if !until.IsZero() {
			over = time.After(time.Until(until))
		}
		select {
		case <-changed:
		case <-over:
		case <-r.Context().Done():
			return false
		case <-s.done:
			return false
		}
	}
}
