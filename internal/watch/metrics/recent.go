package metrics

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// keepRecent is how many of the latest durations are kept as exact values. A histogram's quantiles
// are only as precise as its buckets, and 2 h must not look like 3 h.
const keepRecent = 256

// recent holds the latest durations of one kind, in seconds.
type recent struct {
	mu     sync.Mutex
	latest [keepRecent]timedValue
	n      int // number of all values so far
}

type timedValue struct {
	at    int64 // Unix nanoseconds
	value float64
}

func (r *recent) note(at time.Time, took time.Duration) float64 {
	value := max(0, took.Seconds())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest[r.n%keepRecent] = timedValue{at.UnixNano(), value}
	r.n++
	return value
}

// quantiles returns the quantiles of the values noted after a time.
func (r *recent) quantiles(after time.Time) status.Quantiles {
	values := make([]float64, 0, keepRecent)
	r.mu.Lock()
	for _, v := range r.latest[:min(r.n, keepRecent)] {
		if v.at > after.UnixNano() {
			values = append(values, v.value)
		}
	}
	r.mu.Unlock()
	if len(values) == 0 {
		return status.Quantiles{}
	}
	slices.Sort(values)
	rank := func(share float64) float64 { return values[int(math.Ceil(share*float64(len(values))))-1] }
	return status.Quantiles{Count: uint64(len(values)), P50: rank(0.5), P99: rank(0.99)}
}
