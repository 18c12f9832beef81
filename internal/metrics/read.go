package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Reading is what a subscription's instruments say at one time. The difference of
// two is what happened in between.
type Reading struct {
	Events, Published, Duplicates, Malformed uint64
	Zoom, Delivery, Store, Late              Durations
}

// Read reads them.
func (s *Subscription) Read() Reading {
	return Reading{
		Events: count(s.Received), Published: count(s.Published), Malformed: count(s.Malformed),
		Duplicates: count(s.RepeatedLocal) + count(s.RepeatedStream),
		Zoom:       durations(s.zoom), Delivery: durations(s.delivery), Store: durations(s.store), Late: durations(s.late),
	}
}

func count(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

// Durations is a histogram's content: how many are at most as long as each bound,
// the last of which is infinite.
type Durations struct {
	bounds []float64
	counts []uint64 // cumulative
}

func durations(h prometheus.Histogram) Durations {
	var m dto.Metric
	if h.Write(&m) != nil {
		return Durations{}
	}
	var d Durations
	for _, b := range m.GetHistogram().GetBucket() {
		d.bounds = append(d.bounds, b.GetUpperBound())
		d.counts = append(d.counts, b.GetCumulativeCount())
	}
	d.counts = append(d.counts, m.GetHistogram().GetSampleCount())
	return d
}

// Since is what was added after an earlier reading.
func (d Durations) Since(earlier Durations) Durations {
	if len(earlier.counts) != len(d.counts) {
		return d
	}
	added := Durations{bounds: d.bounds, counts: make([]uint64, len(d.counts))}
	for i := range d.counts {
		added.counts[i] = d.counts[i] - earlier.counts[i]
	}
	return added
}

// Count is of how many durations it is.
func (d Durations) Count() uint64 {
	if len(d.counts) == 0 {
		return 0
	}
	return d.counts[len(d.counts)-1]
}

// Quantile estimates, in seconds, what a share of the durations does not exceed, as
// Prometheus' histogram_quantile does: linearly within a bucket, and the highest
// bound for what lies beyond. 0 if there are none.
func (d Durations) Quantile(share float64) float64 {
	total := d.Count()
	if total == 0 {
		return 0
	}
	rank := share * float64(total)
	lower, before := 0.0, uint64(0)
	for i, bound := range d.bounds {
		if float64(d.counts[i]) >= rank && d.counts[i] > before {
			return lower + (bound-lower)*(rank-float64(before))/float64(d.counts[i]-before)
		}
		lower, before = bound, d.counts[i]
	}
	return lower
}
