package zoomsim

import (
	"cmp"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// forever is the duration of a freeze without an end.
const forever = 100 * 365 * 24 * time.Hour

// RefuseMode says how a dial is refused.
type RefuseMode string

// The ways in which a dial is refused.
const (
	RefuseHTTP503 RefuseMode = "http503" // no upgrade
	RefuseHTTP    RefuseMode = "http"    // no upgrade, but HTTP Status
	RefuseClose   RefuseMode = "close"   // upgrade, then only a close frame, with Code
	RefuseCut     RefuseMode = "cut"     // upgrade, then a TCP reset
	RefuseOld     RefuseMode = "old"     // upgrade, then success:false "Invalid Token" (2023)
	RefuseNew     RefuseMode = "new"     // upgrade, then success:false "Token is invalid" (2025)
)

// Refusal says how dials are refused.
type Refusal struct {
	Mode       RefuseMode
	RetryAfter time.Duration // for modes http503 and http; 0: no such header
	Status     int           // for mode http, from 400 to 599; otherwise 403
	Code       int           // for mode close; 0: 1008
}

// TokenMode says how the token endpoint fails.
type TokenMode string

// The ways in which the token endpoint fails.
const (
	TokenHTTP500          TokenMode = "http500"
	TokenHTML             TokenMode = "html"              // HTTP 502 with a page
	TokenNoExpires        TokenMode = "no-expires"        // a token, but no expires_in
	TokenSlow             TokenMode = "slow"              // answers after Delay
	TokenHang             TokenMode = "hang"              // never answers
	TokenTooMany          TokenMode = "429"               // HTTP 429 with RetryAfter
	TokenInvalidClient    TokenMode = "invalid-client"    // Zoom's HTTP 400 for bad credentials
	TokenUnsupportedGrant TokenMode = "unsupported-grant" // Zoom's HTTP 400 for an unsupported grant
)

// TokenFault says how the token endpoint fails.
type TokenFault struct {
	Mode       TokenMode
	Delay      time.Duration // for mode slow
	RetryAfter time.Duration // for mode 429; 0: no such header
}

// Displacement says how a displaced socket is closed.
type Displacement struct {
	Linger time.Duration // how long it stays open, without events
	Frame  bool          // the reason is in a frame instead of the close frame
}

func (d Displacement) farewell(now time.Time) farewell {
	bye := farewell{at: now.Add(d.Linger), code: websocket.StatusNormalClosure}
	if d.Frame {
		bye.frame = refusalFrame(contentDisplaced)
	} else {
		bye.reason = contentDisplaced
	}
	return bye
}

// Cut resets the sockets of a subscription, or all if it is empty, even frozen ones: a TCP reset
// without a close frame. It returns how many.
func (s *Sim) Cut(subscription string) int {
	sockets := s.each(subscription, func(k *socket) {
		k.retire(CauseCut)
		k.frozenUntil = time.Time{}
	})
	for _, k := range sockets {
		k.wire.cut()
	}
	return len(sockets)
}

// CloseSockets closes the sockets of a subscription, or all if it is empty, with a close frame,
// once their queues are written. It returns how many.
func (s *Sim) CloseSockets(subscription string, code websocket.StatusCode, reason string) (int, error) {
	sendable := code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code <= 4999
	if !sendable {
		return 0, fmt.Errorf("close: code %d cannot be sent in a close frame; use 1000 to 1003, 1007 to 1014 or 3000 to 4999", code)
	}
	if len(reason) > 123 {
		return 0, fmt.Errorf("close: a reason of %d bytes; a close frame holds 123", len(reason))
	}
	sockets := s.each(subscription, func(k *socket) {
		k.dismiss(CauseControl, farewell{code: code, reason: reason})
	})
	return len(sockets), nil
}

// Freeze makes the open sockets of a subscription, or all if it is empty, dead while their
// connections stay open: nothing is read or written, for a duration or (0) until lifted. Events
// still go to them and wait. New dials work, unless dials is set: then they get no answer. It
// returns how many sockets it froze.
func (s *Sim) Freeze(subscription string, d time.Duration, dials bool) int {
	if dials {
		s.stand(faultFreeze, subscription, nil, Span{For: d})
	}
	until := time.Now().Add(cmp.Or(d, forever))
	sockets := s.each(subscription, func(k *socket) { k.frozenUntil = until })
	s.notifyAfter(d)
	return len(sockets)
}

// Refuse refuses dials. The span's Count counts dials.
func (s *Sim) Refuse(subscription string, r Refusal, span Span) error {
	if !alike(string(r.Mode), dialModes) {
		return fmt.Errorf("refuse: mode %q is none of %s", r.Mode, dialModes)
	}
	s.stand(faultRefuse, subscription, r, span)
	return nil
}

// RefuseDead changes how dials with an invalid token are refused; by default as in mode new. The
// span's Count counts dials.
func (s *Sim) RefuseDead(subscription string, r Refusal, span Span) error {
	if !alike(string(r.Mode), dialModes) {
		return fmt.Errorf("refuse-dead: mode %q is none of %s", r.Mode, dialModes)
	}
	s.stand(faultRefuseDead, subscription, r, span)
	return nil
}

// Rival simulates another program of the same app that fetches a token the given time after each of
// ours, and thereby invalidates it. The span's Count counts tokens.
func (s *Sim) Rival(after time.Duration, span Span) { s.stand(faultRival, "", after, span) }

// FailTokens makes the token endpoint fail. The span's Count counts requests.
func (s *Sim) FailTokens(f TokenFault, span Span) error {
	if !alike(string(f.Mode), tokenModes) {
		return fmt.Errorf("token: mode %q is none of %s", f.Mode, tokenModes)
	}
	s.stand(faultToken, "", f, span)
	return nil
}

// Displace changes how displaced sockets are closed. The span's Count counts displacements.
func (s *Sim) Displace(subscription string, d Displacement, span Span) {
	s.stand(faultDisplace, subscription, d, span)
}
