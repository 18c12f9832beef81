package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

const (
	// SamplePeriod is the interval at which a subscription has to be sampled.
	SamplePeriod = 5 * time.Second
	// keepSamples is the length of the plotted history; rateSpan and lateSpan are the periods of
	// the current rate and latency. The first two are in samples.
	keepSamples = 15 * 60 / 5
	rateSpan    = 60 / 5
	lateSpan    = 5 * time.Minute
)

// history is the recent past of a subscription.
type history struct {
	mu      sync.Mutex
	counts  []counted // latest last, at most rateSpan+1
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

// Sample takes a sample. Call it every SamplePeriod.
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

// Fill writes the counts and the current rate and latencies into a status.
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

// begin returns the start of the current rate's period: a minute ago, or when this replica became
// leader, since it received nothing before.
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
