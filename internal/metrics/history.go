package metrics

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/status"
)

const (
	// SamplePeriod is how often a History is to be given a reading.
	SamplePeriod = 5 * time.Second
	// keepSamples is what is kept for the plots, and rateSpan and lateSpan are what
	// the present rate and lateness are taken from.
	keepSamples = 15 * 60 / 5
	rateSpan    = 60 / 5
	lateSpan    = 5 * 60 / 5
)

// History is the latest readings of a subscription. It may be used concurrently.
type History struct {
	mu       sync.Mutex
	readings []timed // at least one, once there is any; as many as lateSpan and one
	samples  []status.Sample
}

type timed struct {
	at time.Time
	Reading
}

// Add adds a reading. stated is its time as others are to see it.
func (h *History) Add(now, stated time.Time, r Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.readings); n > 0 {
		last := h.readings[n-1]
		late := r.Late.Since(last.Late)
		h.samples = append(h.samples, status.Sample{
			At: stated.UTC(), Rate: rate(last, timed{now, r}), P50: late.Quantile(0.5), P99: late.Quantile(0.99),
		})
		h.samples = h.samples[max(0, len(h.samples)-keepSamples):]
	}
	h.readings = append(h.readings, timed{now, r})
	h.readings = h.readings[max(0, len(h.readings)-lateSpan-1):]
}

func rate(from, to timed) float64 {
	span := to.at.Sub(from.at).Seconds()
	if span <= 0 {
		return 0
	}
	return float64(to.Events-from.Events) / span
}

// Fill writes what the readings say, up to the present one, into a status.
func (h *History) Fill(s *status.Subscription, now time.Time, r Reading, history bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Events, s.Published, s.Duplicates, s.Malformed = r.Events, r.Published, r.Duplicates, r.Malformed
	if history {
		s.History = append(s.History, h.samples...)
	}
	n := len(h.readings)
	if n == 0 {
		return
	}
	s.Rate = rate(h.readings[max(0, n-rateSpan)], timed{now, r})
	first := h.readings[0]
	s.Late = quantiles(r.Late.Since(first.Late))
	s.Zoom = quantiles(r.Zoom.Since(first.Zoom))
	s.Way = quantiles(r.Delivery.Since(first.Delivery))
	s.Store = quantiles(r.Store.Since(first.Store))
}

func quantiles(d Durations) status.Quantiles {
	return status.Quantiles{Count: d.Count(), P50: d.Quantile(0.5), P99: d.Quantile(0.99)}
}
