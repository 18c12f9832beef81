package app

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// keepRepetitions bounds how many repeated messages are remembered.
const keepRepetitions = 10_000

// repetitions remembers messages that were received again and therefore not stored again, for
// `find`. It is safe for concurrent use.
type repetitions struct {
	mu    sync.Mutex
	seen  map[string]*status.Seen
	order []string // ring buffer; once full, the oldest is at next
	next  int
}

func (r *repetitions) add(id, where string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.seen[id]; s != nil {
		s.Times, s.Where, s.Last = s.Times+1, where, at
		return
	}
	if r.seen == nil {
		r.seen = make(map[string]*status.Seen)
	}
	r.seen[id] = &status.Seen{ID: id, Times: 1, Where: where, First: at, Last: at}
	if len(r.order) < keepRepetitions {
		r.order = append(r.order, id)
		return
	}
	delete(r.seen, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % keepRepetitions
}

// of returns the entries for the given message ids.
func (r *repetitions) of(ids []string) (found []status.Seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if s := r.seen[id]; s != nil {
			found = append(found, *s)
		}
	}
	return found
}
