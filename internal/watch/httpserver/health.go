package httpserver

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// stuckAfter is how long a loop may take for one round. The slowest thing that they
// do themselves is writing to a disk.
const stuckAfter = time.Minute

// Health knows whether the loops of this process run. It may be used concurrently.
type Health struct {
	mu    sync.Mutex
	beats map[string]time.Time
}

// Beat is told by a loop that it runs. The first beat of each makes it known.
func (h *Health) Beat(loop string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.beats == nil {
		h.beats = make(map[string]time.Time)
	}
	h.beats[loop] = now
}

// Ended is told that a loop has come to its end.
func (h *Health) Ended(loop string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.beats, loop)
}

// Stuck are the loops that have not come round for long, and since when.
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
