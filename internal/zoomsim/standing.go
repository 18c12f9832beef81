package zoomsim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// standing is one fault that stands. Guarded by Sim.mu.
type standing struct {
	value any
	until time.Time // zero: no bound
	left  int       // uses left; 0: no bound
}

// faultSet is what stands for a subscription, or for all, by name.
type faultSet map[string]*standing

// Standing describes a fault that stands.
type Standing struct {
	Fault        string    `json:"fault"`
	Subscription string    `json:"subscription,omitempty"` // empty: all
	Sockets      int       `json:"sockets,omitempty"`      // frozen ones
	Until        time.Time `json:"until,omitzero"`
	Left         int       `json:"left,omitempty"` // uses
}

func (s *Sim) stand(subscription, name string, value any, span Span) {
	f := &standing{value: value, left: span.Count}
	if span.For > 0 {
		f.until = time.Now().Add(span.For)
	}
	s.mu.Lock()
	set := s.faults
	if subscription != "" {
		set = s.sub(subscription).faults
	}
	set[name] = f
	s.notify()
	s.mu.Unlock()
	s.logFault(name, subscription)
}

// faultOf is the value of a fault that stands for a subscription: its own, or
// else that of all. Asking uses the fault up by one. The caller holds s.mu.
func faultOf[T any](s *Sim, sub *subscription, name string, now time.Time) (value T, ok bool) {
	if sub != nil {
		if v, ok := sub.faults.use(name, now); ok {
			return v.(T), true
		}
	}
	if v, ok := s.faults.use(name, now); ok {
		return v.(T), true
	}
	return value, false
}

func (set faultSet) use(name string, now time.Time) (any, bool) {
	f, ok := set[name]
	if !ok {
		return nil, false
	}
	if !f.until.IsZero() && !now.Before(f.until) {
		delete(set, name)
		return nil, false
	}
	if f.left == 1 {
		delete(set, name)
	}
	f.left = max(0, f.left-1)
	return f.value, true
}

// faultSets lists where faults of a subscription stand; everywhere if it is
// empty. The caller holds s.mu.
func (s *Sim) faultSets(subscription string) []faultSet {
	if subscription != "" {
		return []faultSet{s.sub(subscription).faults}
	}
	sets := []faultSet{s.faults}
	for _, sub := range s.subs {
		sets = append(sets, sub.faults)
	}
	return sets
}

// Standing lists the faults that stand.
func (s *Sim) Standing() []Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	list := s.faults.list("", now)
	for id, sub := range s.subs {
		list = append(list, sub.faults.list(id, now)...)
		if n := s.frozen(id, now); n > 0 {
			list = append(list, Standing{Fault: faultFreeze, Subscription: id, Sockets: n})
		}
	}
	slices.SortFunc(list, func(a, b Standing) int {
		return cmp.Or(strings.Compare(a.Fault, b.Fault), strings.Compare(a.Subscription, b.Subscription))
	})
	return list
}

func (set faultSet) list(subscription string, now time.Time) []Standing {
	list := []Standing{}
	for name, f := range set {
		if f.until.IsZero() || now.Before(f.until) {
			list = append(list, Standing{Fault: name, Subscription: subscription, Until: f.until, Left: f.left})
		}
	}
	return list
}

func (s *Sim) frozen(subscription string, now time.Time) int {
	n := 0
	for _, k := range s.open(subscription) {
		if k.wire.thawedAt(now).Equal(now) {
			n++
		}
	}
	return n
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func joinNames[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}
