package zoomsim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Names of the standing faults, as in the control API, with the types of their values. Those of the
// token endpoint have no subscription.
const (
	faultFreeze       = "freeze"        // dials only: nil; each socket has its own state
	faultRefuse       = "refuse"        // Refusal
	faultDisplace     = "displace"      // Displacement
	faultSlowReader   = "slow-reader"   // int, bytes per second
	faultMute         = "mute"          // nil
	faultLate         = "late"          // time.Duration
	faultDuplicate    = "duplicate"     // int
	faultSameTracking = "same-tracking" // nil
	faultObject       = "object"        // nil
	faultToken        = "token"         // TokenFault
	faultRotate       = "rotate"        // nil
	faultRefuseDead   = "refuse-dead"   // Refusal
	faultRival        = "rival"         // time.Duration
)

// Span says how long a fault stands. With the zero Span it stands until lifted.
type Span struct {
	For   time.Duration // 0: unlimited
	Count int           // uses (events, dials, requests) until it ends; 0: unlimited
}

// Fault is a standing fault.
type Fault struct {
	Name         string    `json:"fault"`
	Subscription string    `json:"subscription,omitempty"` // empty: all
	Sockets      int       `json:"sockets,omitempty"`      // for freeze: number of frozen sockets; 0: dials are frozen
	Until        time.Time `json:"until,omitzero"`
	Left         int       `json:"left,omitempty"` // uses left

	value any
}

type faultKey struct{ name, subscription string }

func (f *Fault) over(now time.Time) bool { return !f.Until.IsZero() && !now.Before(f.Until) }

// stand sets a standing fault, for one subscription or, if it is empty, for all.
func (s *Sim) stand(name, subscription string, value any, span Span) {
	f := &Fault{Name: name, Subscription: subscription, Left: span.Count, value: value}
	if span.For > 0 {
		f.Until = time.Now().Add(span.For)
	}
	s.mu.Lock()
	s.faults[faultKey{name, subscription}] = f
	s.mu.Unlock()
}

// use returns the fault that stands for a subscription, its own or else that of all, and counts one
// use of it. It returns nil if there is none. The caller holds s.mu.
func (s *Sim) use(name, subscription string) *Fault {
	for _, key := range [...]faultKey{{name, subscription}, {name, ""}} {
		f := s.faults[key]
		if f == nil {
			continue
		}
		if f.over(time.Now()) {
			delete(s.faults, key)
			continue
		}
		if f.Left == 1 {
			delete(s.faults, key)
		}
		f.Left = max(0, f.Left-1)
		return f
	}
	return nil
}

// useNow uses a fault and returns its value; zero if there is none.
func useNow[T any](s *Sim, name, subscription string) (value T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.use(name, subscription); f != nil {
		value = f.value.(T)
	}
	return value
}

// Standing lists the standing faults.
func (s *Sim) Standing() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	list := []Fault{}
	for _, f := range s.faults {
		if !f.over(now) {
			list = append(list, *f)
		}
	}
	frozen := make(map[string]int)
	for _, k := range s.sockets {
		if k.frozenUntil.After(now) {
			frozen[k.sub.id]++
		}
	}
	for id, n := range frozen {
		list = append(list, Fault{Name: faultFreeze, Subscription: id, Sockets: n})
	}
	slices.SortFunc(list, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Subscription, b.Subscription))
	})
	return list
}

// Reset lifts every fault.
func (s *Sim) Reset() { s.lift("", "") }

// lift ends a fault of one subscription, or wherever it stands if that is empty; with an empty
// name, every fault. It returns how many it ended, including frozen sockets.
func (s *Sim) lift(name, subscription string) int {
	chosen := func(n, id string) bool {
		return (name == "" || n == name) && (subscription == "" || id == subscription)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	maps.DeleteFunc(s.faults, func(key faultKey, _ *Fault) bool { return chosen(key.name, key.subscription) })
	lifted := before - len(s.faults)
	now := time.Now()
	for _, k := range s.sockets {
		if k.frozenUntil.After(now) && chosen(faultFreeze, k.sub.id) {
			k.frozenUntil = now
			k.poke() // it may now become idle
			lifted++
		}
	}
	s.notify()
	return lifted
}
