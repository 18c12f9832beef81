package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// states is the collector of the metrics that are read from the status at a scrape.
type states struct {
	read   func() *status.Replica
	alarms []string // names of all alarms of a replica

	leader, margin, connected, lastFrame, lastEvent, inFlight  *prometheus.Desc // by subscription
	nats, direct, queued, spooled, bytes, max, age, diskFailed *prometheus.Desc
	expiry, refreshes, ready, others, alarm                    *prometheus.Desc
	pending, oldest, redelivered                               *prometheus.Desc // by consumer
}

func newStates(read func() *status.Replica, alarms []string) *states {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &states{
		read: read, alarms: alarms,

		leader:    desc("leader", "Whether this replica leads the subscription.", label),
		margin:    desc("lease_margin_seconds", "How long this leader may still connect without renewing its lease.", label),
		connected: desc("connected", "Whether this replica is connected to Zoom.", label),
		lastFrame: desc("last_frame_timestamp_seconds", "Last sign of life of the connection.", label),
		lastEvent: desc("last_event_timestamp_seconds", "Last event received.", label),
		inFlight:  desc("in_flight", "Messages received and not yet stored.", label),

		nats:       desc("nats_connected", "Whether this replica is connected to NATS."),
		direct:     desc("publishing_direct", "Whether messages go straight to NATS, not through the spool."),
		queued:     desc("publish_in_flight", "Messages sent to NATS or waiting to be sent."),
		spooled:    desc("spool_messages", "Messages in the spool."),
		bytes:      desc("spool_bytes", "Size of the spool."),
		max:        desc("spool_max_bytes", "Size limit of the spool."),
		age:        desc("spool_age_seconds", "Age of the oldest message that waits for NATS."),
		diskFailed: desc("spool_failed", "Whether the spool accepts nothing: it cannot be used, or is full."),

		expiry:    desc("token_expiry_timestamp_seconds", "When the current access token expires."),
		refreshes: desc("token_refreshes_total", "Requests for an access token, by outcome.", "outcome"),
		ready:     desc("ready", "Whether this replica leads or stands by, and is not about to stop."),
		others:    desc("other_replicas", "Other replicas that this one hears."),

		pending:     desc("consumer_pending", "Messages that a durable consumer of the stream has yet to get.", "consumer"),
		oldest:      desc("consumer_oldest_unprocessed_seconds", "Age of the oldest message that a durable consumer has not processed: not acknowledged, or not delivered if it acknowledges nothing; 0 if there is none.", "consumer"),
		redelivered: desc("consumer_redelivered", "Unacknowledged messages that a durable consumer got more than once.", "consumer"),

		alarm: desc("alarm", "Whether an alarm is raised; without a subscription it concerns the whole replica.", "alarm", label),
	}
}

// Describe describes nothing, which leaves the metrics unchecked: which ones exist depends on the
// state.
func (s *states) Describe(chan<- *prometheus.Desc) {}

// Collect reads the status once.
func (s *states) Collect(to chan<- prometheus.Metric) {
	now := s.read()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, sub := range now.Subscriptions {
		id := sub.Subscription
		leads := sub.Role == status.Leader
		gauge(s.leader, truth(leads), id)
		gauge(s.connected, truth(leads && sub.State == "connected"), id)
		gauge(s.inFlight, float64(sub.InFlight), id)
		if leads {
			gauge(s.margin, sub.Trusted, id)
		}
		timestamp(gauge, s.lastFrame, sub.LastFrame, id)
		timestamp(gauge, s.lastEvent, sub.LastEvent, id)
	}
	p := now.Outbox
	gauge(s.nats, truth(p.NATS))
	gauge(s.direct, truth(p.Direct))
	gauge(s.queued, float64(p.InFlight))
	gauge(s.spooled, float64(p.Spooled))
	gauge(s.bytes, float64(p.Bytes))
	gauge(s.max, float64(p.Max))
	gauge(s.age, p.Age)
	gauge(s.diskFailed, truth(p.Disk != ""))
	gauge(s.ready, truth(now.Phase == status.Ready))
	gauge(s.others, float64(len(now.Others)))
	timestamp(gauge, s.expiry, now.Token.Expires)
	to <- prometheus.MustNewConstMetric(s.refreshes, prometheus.CounterValue, float64(now.Token.Refreshes), "ok")
	to <- prometheus.MustNewConstMetric(s.refreshes, prometheus.CounterValue, float64(now.Token.Failures), "error")
	s.collectAlarms(now, gauge)
	if now.Consumers == nil { // another replica watches them
		return
	}
	for _, c := range now.Consumers.Durable {
		gauge(s.pending, float64(c.Pending), c.Name)
		if c.Sequence > 0 || c.Pending == 0 && c.Unacknowledged == 0 { // otherwise unknown
			gauge(s.oldest, c.Oldest, c.Name)
		}
		gauge(s.redelivered, float64(c.Redelivered), c.Name)
	}
}

// collectAlarms exports every alarm of the whole replica, raised or not, so that a rule can tell
// "not raised" from "no data"; alarms of subscriptions only while raised.
func (s *states) collectAlarms(now *status.Replica, gauge func(*prometheus.Desc, float64, ...string)) {
	type key struct{ alarm, subscription string }
	raised := make(map[key]bool)
	for _, name := range s.alarms {
		raised[key{name, ""}] = false
	}
	for _, a := range now.Alarms {
		raised[key{a.Alarm, a.Subscription}] = true
	}
	for k, is := range raised {
		gauge(s.alarm, truth(is), k.alarm, k.subscription)
	}
}

func timestamp(gauge func(*prometheus.Desc, float64, ...string), d *prometheus.Desc, at time.Time, labels ...string) {
	if !at.IsZero() {
		gauge(d, float64(at.UnixMilli())/1000, labels...)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
