package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

const (
	// SamplePeriod is how often a subscription is to be sampled.
	SamplePeriod = 5 * time.Second
	// keepSamples is what is kept for the plots, rateSpan and lateSpan are what the
	// present rate and lateness are taken from.
	keepSamples = 15 * 60 / 5
	rateSpan    = 60 / 5
	lateSpan    = 5 * time.Minute
)

// history is what is kept of a subscription's past.
type history struct {
	mu      sync.Mutex
	counts  []counted // latest last, rateSpan and one
	samples []status.Sample
}

type counted struct {
	at     time.Time
	events uint64
}

func (c counted) rate(later counted) float64 {
	span := later.at.Sub(c.at).Seconds()
	if span <= 0 {
		return 0
	}
	return float64(later.events-c.events) / span
}

// Sample takes a sample.
func (s *Subscription) Sample(now time.Time) {
	next := counted{now, count(s.Received)}
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.counts); n > 0 {
		last := h.counts[n-1]
		late := s.late.recent.quantiles(last.at)
		h.samples = append(h.samples, status.Sample{At: now.UTC(), Rate: last.rate(next), P50: late.P50, P99: late.P99})
		h.samples = h.samples[max(0, len(h.samples)-keepSamples):]
	}
	h.counts = append(h.counts, next)
	h.counts = h.counts[max(0, len(h.counts)-rateSpan-1):]
}

// Fill writes what was counted, and how it goes now, into a status.
func (s *Subscription) Fill(to *status.Subscription, now time.Time, withHistory bool) {
	to.Events, to.Published, to.Malformed = count(s.Received), count(s.Published), count(s.Malformed)
	to.Duplicates, to.Connects = count(s.RepeatedLocal)+count(s.RepeatedStream), count(s.ready)
	since := now.Add(-lateSpan)
	to.Late, to.Zoom = s.late.recent.quantiles(since), s.zoom.recent.quantiles(since)
	to.Way, to.Store = s.delivery.recent.quantiles(since), s.store.recent.quantiles(since)
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.counts) > 0 {
		to.Rate = h.begin(to, now).rate(counted{now, to.Events})
	}
	if withHistory {
		to.History = append(to.History, h.samples...)
	}
}

// begin is what the present rate is counted from: a minute ago, or since the replica
// leads, for before that it received nothing.
func (h *history) begin(s *status.Subscription, now time.Time) counted {
	from := h.counts[0]
	if s.Role != status.Leader || !s.Since.After(from.at) {
		return from
	}
	for _, c := range h.counts {
		if !c.at.After(s.Since) {
			from.events = c.events
		}
	}
	from.at = s.Since
	if leastSpan := now.Add(-time.Second); from.at.After(leastSpan) {
		from.at = leastSpan
	}
	return from
}

func count(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
