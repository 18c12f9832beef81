package zoomsim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Span says for how long a fault stands. The zero Span is until it is lifted.
type Span struct {
	For   time.Duration // 0: no bound by time
	Count int           // uses (events, dials, requests) until it ends; 0: no bound
}

// Names of the faults that stand, as the control API has them. Those of the
// token endpoint have no subscription.
const (
	faultMute         = "mute"          // bool
	faultRefuse       = "refuse"        // Refusal
	faultLate         = "late"          // time.Duration
	faultDuplicate    = "duplicate"     // int
	faultSameTracking = "same-tracking" // bool
	faultObject       = "object"        // bool
	faultSlowReader   = "slow-reader"   // int, bytes per second
	faultDisplace     = "displace"      // Displacement
	faultFreeze       = "freeze"        // kept by each wire
	faultFreezeDials  = "freeze-dials"  // time.Time, its end or zero; lifted with freeze
	faultToken        = "token"         // TokenFault
	faultRotate       = "rotate"        // bool
)

// RefuseMode says how a dial is refused.
type RefuseMode string

// The ways to refuse a dial.
const (
	RefuseHTTP503 RefuseMode = "http503" // no upgrade
	RefuseOld     RefuseMode = "old"     // upgrade, then success:false "Invalid Token" (2023)
	RefuseNew     RefuseMode = "new"     // upgrade, then success:false "Token is invalid" (2025)
	RefuseContent RefuseMode = "content" // upgrade, then success:false with Content
)

// Refusal is how dials are refused.
type Refusal struct {
	Mode       RefuseMode
	Content    string        // of mode content
	RetryAfter time.Duration // of mode http503; 0: no such header
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
	TokenTooMany          TokenMode = "429"               // with RetryAfter
	TokenInvalidClient    TokenMode = "invalid-client"    // Zoom's HTTP 400 for bad credentials
	TokenUnsupportedGrant TokenMode = "unsupported-grant" // Zoom's HTTP 400 for the other grant
)

// TokenFault is how the token endpoint fails.
type TokenFault struct {
	Mode       TokenMode
	Delay      time.Duration // of mode slow
	RetryAfter time.Duration // of mode 429; 0: no such header
}

// Displacement is how a displaced socket is closed.
type Displacement struct {
	Linger time.Duration // how long it stays open, without events
	Frame  bool          // says so in a frame, not in the close reason
}

func (d Displacement) farewell() *farewell {
	if d.Frame {
		return &farewell{frame: refusalFrame(contentDisplaced), code: websocket.StatusNormalClosure}
	}
	return &farewell{code: websocket.StatusNormalClosure, reason: contentDisplaced}
}

// Cut resets the sockets of a subscription, or all if it is empty: a TCP reset
// without a close frame. It returns how many.
func (s *Sim) Cut(subscription string) int {
	sockets := s.pick(subscription, func(k *socket) { k.retire(CauseCut) })
	for _, k := range sockets {
		k.wire.cut()
	}
	s.logFault("cut", subscription)
	return len(sockets)
}

// CloseSockets closes the sockets of a subscription, or all if it is empty, by
// a close frame, once what is queued for them is written. It returns how many.
func (s *Sim) CloseSockets(subscription string, code websocket.StatusCode, reason string) (int, error) {
	if err := checkClose(code, reason); err != nil {
		return 0, fmt.Errorf("close: %w", err)
	}
	sockets := s.pick(subscription, func(k *socket) {
		k.dismiss(CauseControl, &farewell{code: code, reason: reason})
	})
	s.logFault("close", subscription)
	return len(sockets), nil
}

func checkClose(code websocket.StatusCode, reason string) error {
	sendable := code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code <= 4999
	if !sendable {
		return fmt.Errorf("code %d cannot be sent in a close frame; use 1000 to 1003, 1007 to 1014 or 3000 to 4999", code)
	}
	if len(reason) > 123 {
		return fmt.Errorf("a reason of %d bytes; a close frame holds 123", len(reason))
	}
	return nil
}

// Freeze makes the open sockets of a subscription, or all if it is empty, dead
// with their connections open: nothing is read and nothing written, for a
// duration or (0) until Lift. Events still go to them and wait. New dials are
// fine, unless dials is set: then they get no answer. It returns how many.
func (s *Sim) Freeze(subscription string, d time.Duration, dials bool) int {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	if dials {
		s.stand(subscription, faultFreezeDials, until, Span{For: d})
	}
	sockets := s.pick(subscription, func(k *socket) { k.wire.freeze(d) })
	s.logFault(faultFreeze, subscription)
	return len(sockets)
}

// Mute makes events find nobody, while heartbeats are answered. A Count counts
// events.
func (s *Sim) Mute(subscription string, span Span) { s.stand(subscription, faultMute, true, span) }

// Refuse refuses dials. A Count counts dials.
func (s *Sim) Refuse(subscription string, r Refusal, span Span) error {
	r, err := r.complete()
	if err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	s.stand(subscription, faultRefuse, r, span)
	return nil
}

// complete checks a refusal and fills in the content of its mode.
func (r Refusal) complete() (Refusal, error) {
	switch r.Mode {
	case RefuseHTTP503:
	case RefuseOld:
		r.Content = contentInvalidOld
	case RefuseNew:
		r.Content = contentInvalidNew
	case RefuseContent:
		if r.Content == "" {
			return r, errors.New("mode content needs a content")
		}
	default:
		return r, fmt.Errorf("mode %q is unknown; known: http503, old, new, content", r.Mode)
	}
	return r, nil
}

// FailTokens makes the token endpoint fail. A Count counts requests.
func (s *Sim) FailTokens(f TokenFault, span Span) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	s.stand("", faultToken, f, span)
	return nil
}

func tokenModes() []TokenMode {
	return []TokenMode{TokenHTTP500, TokenHTML, TokenNoExpires, TokenSlow, TokenHang, TokenTooMany, TokenInvalidClient, TokenUnsupportedGrant}
}

func (f TokenFault) check() error {
	if known := tokenModes(); !slices.Contains(known, f.Mode) {
		return fmt.Errorf("mode %q is unknown; known: %s", f.Mode, joinNames(known))
	}
	return nil
}

// Rotate makes each new token kill the older ones, as in 2022. Live sockets
// stay.
func (s *Sim) Rotate(span Span) { s.stand("", faultRotate, true, span) }

// Late makes the event_ts of events so much older than their frames.
func (s *Sim) Late(subscription string, by time.Duration, span Span) {
	s.stand(subscription, faultLate, by, span)
}

// Duplicate sends each event so many times, the same bytes each time.
func (s *Sim) Duplicate(subscription string, times int, span Span) {
	s.stand(subscription, faultDuplicate, times, span)
}

// SameTracking gives events pairwise the same tracking id: one of each pair
// is all that a bridge keeps that takes the tracking id for an event's id. A
// Count counts pairs.
func (s *Sim) SameTracking(subscription string, span Span) {
	s.stand(subscription, faultSameTracking, true, span)
}

// Object sends content as an object instead of a string.
func (s *Sim) Object(subscription string, span Span) { s.stand(subscription, faultObject, true, span) }

// SlowReader makes the simulator read so many bytes per second from a client.
func (s *Sim) SlowReader(subscription string, bytesPerSecond int, d time.Duration) {
	s.stand(subscription, faultSlowReader, bytesPerSecond, Span{For: d})
}

// Displace changes how displaced sockets are closed. A Count counts
// displacements.
func (s *Sim) Displace(subscription string, d Displacement, span Span) {
	s.stand(subscription, faultDisplace, d, span)
}

// Garbage sends broken frames of the kinds named, of all kinds if none is, in
// the order of their names.
func (s *Sim) Garbage(subscription string, kinds ...string) ([]Delivery, error) {
	if err := checkGarbage(kinds); err != nil {
		return nil, fmt.Errorf("garbage: %w", err)
	}
	frames := GarbageFrames()
	if len(kinds) == 0 {
		kinds = sortedNames(frames)
	}
	var sent []Delivery
	for _, kind := range kinds {
		sent = append(sent, s.sendRaw(subscription, kind, frames[kind], false))
	}
	s.logFault("garbage", subscription)
	return sent, nil
}

func checkGarbage(kinds []string) error {
	known := sortedNames(GarbageFrames())
	for _, kind := range kinds {
		if !slices.Contains(known, kind) {
			return fmt.Errorf("kind %q is unknown; known: %s", kind, strings.Join(known, ", "))
		}
	}
	return nil
}

// Lift ends a standing fault, by its name in the control API: of one
// subscription, or wherever it stands if that is empty. It returns how many
// it ended, frozen sockets counted.
func (s *Sim) Lift(fault, subscription string) int {
	n := 0
	if fault == faultFreeze {
		s.pick(subscription, func(k *socket) {
			if k.wire.thaw() {
				n++
			}
		})
		fault = faultFreezeDials
	}
	s.mu.Lock()
	for _, set := range s.faultSets(subscription) {
		if _, ok := set[fault]; ok {
			delete(set, fault)
			n++
		}
	}
	s.notify()
	s.mu.Unlock()
	s.opt.Log.Info().Str("fault", fault).Str("subscription", subscription).Msg("fault lifted")
	return n
}

// Reset lifts every standing fault.
func (s *Sim) Reset() {
	s.pick("", func(k *socket) { k.wire.thaw() })
	s.mu.Lock()
	for _, set := range s.faultSets("") {
		clear(set)
	}
	for _, sub := range s.subs {
		sub.pair = ""
	}
	s.notify()
	s.mu.Unlock()
	s.opt.Log.Info().Msg("all faults lifted")
}

// pick does something to open sockets, under the lock, and returns them.
func (s *Sim) pick(subscription string, do func(*socket)) []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open(subscription)
	for _, k := range open {
		do(k)
	}
	return open
}

func (s *Sim) logFault(name, subscription string) {
	s.opt.Log.Info().Str("fault", name).Str("subscription", subscription).Msg("fault")
}
