// Package metrics has the instruments of one process, for Prometheus
// (https://prometheus.io/docs/practices/naming/). What is counted is counted here,
// once, and read from here for the status too; what is a state is read from the
// status when somebody scrapes. How late events are is kept twice: in histograms, and
// the latest as they are.
//
// Label values are bounded: subscriptions are the configured ones, reasons, causes
// and outcomes are constants of the code; of consumers the status has a bounded list.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

const namespace = "zoomstream"

// Metrics are the instruments of a process. They may be used concurrently.
type Metrics struct {
	registry      *prometheus.Registry
	subscriptions map[string]*Subscription

	publish       prometheus.Histogram
	alarms        *prometheus.CounterVec
	notifications *prometheus.CounterVec
}

// New returns the instruments for the configured subscriptions, on a registry of
// their own.
func New(version, commit string, subscriptions []string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), subscriptions: make(map[string]*Subscription)}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	f := family{m.registry}
	f.gauge("build_info", "Always 1; the labels tell what runs.", "version", "commit").WithLabelValues(version, commit).Set(1)
	m.publish = f.histogram("publish_seconds", "From handing a message to NATS to its acknowledgement.", brief).WithLabelValues().(prometheus.Histogram)
	m.alarms = f.counter("alarms_raised_total", "Times that an alarm was raised.", "alarm")
	m.notifications = f.counter("alarm_notifications_total", "Posts of alarms to the webhook, by outcome: sent, refused (or failed; there is another one unless it is dropped), or dropped: the message is given up.", "outcome")
	for _, outcome := range []string{alarm.Sent, alarm.Refused, alarm.Dropped} {
		m.notifications.WithLabelValues(outcome) // so that there is a first one to compare with
	}
	v := newVectors(f)
	for _, id := range subscriptions {
		m.subscriptions[id] = v.subscription(id)
	}
	return m
}

// Registry has all of them, for a scrape.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Subscription returns the instruments of a configured subscription.
func (m *Metrics) Subscription(id string) *Subscription { return m.subscriptions[id] }

// Published is told how long a message took from NATS' getting it to its
// acknowledgement.
func (m *Metrics) Published(took time.Duration) { m.publish.Observe(took.Seconds()) }

// TooLarge counts an event that NATS never takes. That of a subscription that is not
// configured any more, which an earlier run has left on disk, is not counted.
func (m *Metrics) TooLarge(subscription string) {
	if s := m.subscriptions[subscription]; s != nil {
		s.Malformed.Inc()
	}
}

// Raised counts an alarm.
func (m *Metrics) Raised(alarm string) { m.alarms.WithLabelValues(alarm).Inc() }

// Notified counts an attempt to post an alarm to the webhook, or a message that is given up.
func (m *Metrics) Notified(outcome string) { m.notifications.WithLabelValues(outcome).Inc() }

// Show has what the status tells scraped too. Call it once.
func (m *Metrics) Show(read func() *status.Replica, alarms []string) {
	m.registry.MustRegister(newStates(read, alarms))
}

// Buckets of durations in seconds: brief ones from a fraction of a millisecond, and
// those of what Zoom is known to take, up to hours.
var (
	brief = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	long  = []float64{.01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400, 21600, 43200, 86400}
)

// family makes instruments under the program's prefix.
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
