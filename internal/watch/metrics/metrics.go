// Package metrics has the instruments of one process, for Prometheus
// (https://prometheus.io/docs/practices/naming/). Counts are kept here only, and the status reads
// them from here; states are read from the status at each scrape. Latencies are kept twice: in
// histograms, and the latest ones as exact values.
//
// Label values are bounded: subscriptions are the configured ones; reasons, causes and outcomes are
// constants in the code; the status lists a bounded number of consumers.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

const namespace = "zoomstream"

// Metrics holds the instruments of a process. It is safe for concurrent use.
type Metrics struct {
	registry      *prometheus.Registry
	subscriptions map[string]*Subscription

	publish       prometheus.Histogram
	alarms        *prometheus.CounterVec
	notifications *prometheus.CounterVec
}

// New returns the instruments for the configured subscriptions, on a separate registry.
func New(version, commit string, subscriptions []string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), subscriptions: make(map[string]*Subscription)}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	f := family{m.registry}
	f.gauge("build_info", "Always 1; the labels say which version runs.", "version", "commit").WithLabelValues(version, commit).Set(1)
	m.publish = f.histogram("publish_seconds", "Time from handing a message to NATS to its acknowledgement.", brief).WithLabelValues().(prometheus.Histogram)
	m.alarms = f.counter("alarms_raised_total", "Times that an alarm was raised.", "alarm")
	m.notifications = f.counter("alarm_notifications_total", "Posts of alarms to the webhook, by outcome: sent, refused (or failed; tried again unless dropped), or dropped (given up).", "outcome")
	for _, outcome := range []string{alarm.Sent, alarm.Refused, alarm.Dropped} {
		m.notifications.WithLabelValues(outcome) // so that the series exists from the start
	}
	v := newVectors(f)
	for _, id := range subscriptions {
		m.subscriptions[id] = v.subscription(id)
	}
	return m
}

// Registry returns the registry of all instruments, for a scrape.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Subscription returns the instruments of a configured subscription; nil for any other.
func (m *Metrics) Subscription(id string) *Subscription { return m.subscriptions[id] }

// Published records the time from handing a message to NATS to its acknowledgement.
func (m *Metrics) Published(took time.Duration) { m.publish.Observe(took.Seconds()) }

// TooLarge counts an event that is too large for NATS. It ignores subscriptions that are no longer
// configured, whose events an earlier run may have left on disk.
func (m *Metrics) TooLarge(subscription string) {
	if s := m.subscriptions[subscription]; s != nil {
		s.Malformed.Inc()
	}
}

// Raised counts an alarm.
func (m *Metrics) Raised(alarm string) { m.alarms.WithLabelValues(alarm).Inc() }

// Notified counts an attempt to post an alarm to the webhook, or a message that was given up.
func (m *Metrics) Notified(outcome string) { m.notifications.WithLabelValues(outcome).Inc() }

// Show adds the metrics that are read from the status. It must be called only once.
func (m *Metrics) Show(read func() *status.Replica, alarms []string) {
	m.registry.MustRegister(newStates(read, alarms))
}

// Bucket limits in seconds: brief starts at a fraction of a millisecond; long covers delays that
// Zoom is known to cause, up to hours.
var (
	brief = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	long  = []float64{.01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400, 21600, 43200, 86400}
)

// family creates instruments with the program's prefix.
type family struct{ registry *prometheus.Registry }

func (f family) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f family) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(v)
	return v
}

func (f family) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	f.registry.MustRegister(v)
	return v
}
