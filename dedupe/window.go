package dedupe

import "time"

// Window remembers recent ids, so that a repeated delivery is recognised without
// a round trip to the server. It is bounded by count and by time and holds about
// 200 bytes per id. It is not safe for concurrent use.
//
// Its duration must not exceed the stream's duplicate window, or it would drop an
// event that the server would store.
type Window struct {
	size  int
	keep  time.Duration
	seen  map[string]time.Time
	order []string // ring of the remembered ids, oldest at next once full
	next  int
}

// NewWindow returns a window of up to size ids, each remembered for keep. A window
// of size 0 remembers nothing.
func NewWindow(size int, keep time.Duration) *Window {
	return &Window{size: size, keep: keep, seen: make(map[string]time.Time)}
}

// Seen reports whether id was added within the window's duration before now. If
// not, it adds id; from then on the caller is responsible for storing the event.
func (w *Window) Seen(id string, now time.Time) bool {
	if w.size <= 0 {
		return false
	}
	added, known := w.seen[id]
	if known && now.Sub(added) < w.keep {
		return true
	}
	w.seen[id] = now
	if known {
		return false // its place in the ring stays: at worst it is forgotten early
	}
	if len(w.order) < w.size {
		w.order = append(w.order, id)
		return false
	}
	delete(w.seen, w.order[w.next])
	w.order[w.next] = id
	w.next = (w.next + 1) % w.size
	return false
}
