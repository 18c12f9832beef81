package forward

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// register exports the progress of a delivery. All values are those of this instance since its
// start.
func (p *progress) register(registry prometheus.Registerer, name string) {
	registry = prometheus.WrapRegistererWith(prometheus.Labels{"delivery": name}, registry)
	counter := func(metric, help string, value *atomic.Uint64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "zoomstream_forward", Name: metric, Help: help},
			func() float64 { return float64(value.Load()) }))
	}
	gauge := func(metric, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "zoomstream_forward", Name: metric, Help: help}, value))
	}
	counter("delivered_total", "Events that the endpoint accepted.", &p.delivered)
	counter("refused_total", "Attempts that the endpoint refused or did not answer.", &p.refused)
	counter("dead_letters_total", "Events that were given up and became dead letters.", &p.dead)
	counter("removed_total", "Messages that the stream removed before they could be delivered.", &p.removed)
	gauge("pending", "Messages in the stream that no instance had received yet when this one received its last.", func() float64 { return float64(p.pending.Load()) })
	gauge("in_flight", "Events that this instance has received and not delivered yet.", func() float64 { return float64(p.load.Load().inFlight) })
	gauge("lag_seconds", "Age of the oldest of these; 0 if there is none.", func() float64 { return p.load.Load().lag().Seconds() })
}
