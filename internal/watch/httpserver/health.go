package httpserver

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// stuckAfter is how long one round of a loop may take. The slowest operation in the loops
// themselves is a disk write.
const stuckAfter = time.Minute

// Health knows whether this process's loops are running. It is safe for concurrent use.
type Health struct {
	mu    sync.Mutex
	beats map[string]time.Time
}

// Beat records that a loop is running. The first beat registers the loop.
func (h *Health) Beat(loop string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.beats == nil {
		h.beats = make(map[string]time.Time)
	}
	h.beats[loop] = now
}

// Ended unregisters a loop that has ended.
func (h *Health) Ended(loop string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.beats, loop)
}

// Stuck returns the loops without a beat for more than stuckAfter, and for how long.
func (h *Health) Stuck(now time.Time) (loops []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for loop, beat := range h.beats {
		if quiet := now.Sub(beat); quiet > stuckAfter {
			loops = append(loops, fmt.Sprintf("%s for %s", loop, quiet.Round(time.Second)))
		}
	}
	slices.Sort(loops)
	return loops
}
