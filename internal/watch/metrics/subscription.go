package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Subscription holds the instruments of one subscription, over all terms in which this process
// leads it.
type Subscription struct {
	Received         prometheus.Counter // events, including repetitions
	Published        prometheus.Counter // events stored, without duplicates
	RepeatedLocal    prometheus.Counter // recognised here and not sent
	RepeatedStream   prometheus.Counter // recognised by the stream
	Malformed        prometheus.Counter
	InvalidSignature prometheus.Counter
	UnknownName      prometheus.Counter // events whose name this version does not know
	Gaps             prometheus.Counter
	GapSeconds       prometheus.Counter

	ready prometheus.Counter // successful connects

	zoom, delivery, store, late durations
	roundTrip                   prometheus.Observer
	history                     history

	transitions, connects, closes *prometheus.CounterVec // with the subscription label set and the other one free
}

// vectors holds the instruments labelled by subscription.
type vectors struct {
	received, published, duplicates, malformed, invalid, unknown, gaps, gapSeconds *prometheus.CounterVec
	transitions, connects, closes                                                  *prometheus.CounterVec
	zoom, delivery, store, late, roundTrip                                         *prometheus.HistogramVec
}

const label = "subscription"

// ready is the outcome of a successful connect.
const ready = "ready"

func newVectors(f family) *vectors {
	return &vectors{
		received:   f.counter("events_received_total", "Events received from Zoom, repetitions included.", label),
		published:  f.counter("events_published_total", "Events stored in the stream, duplicates not included.", label),
		duplicates: f.counter("events_duplicate_total", "Events that had been received before: recognised here (local) or by the stream.", label, "where"),
		malformed:  f.counter("events_malformed_total", "Frames that are not events, or are too large for NATS.", label),
		invalid:    f.counter("events_invalid_signature_total", "Events whose signature is invalid; they are published and marked.", label),
		unknown:    f.counter("events_unknown_name_total", "Events whose names this version does not know; they are published like all others.", label),
		gaps:       f.counter("gaps_total", "Gaps found: intervals without a connection.", label),
		gapSeconds: f.counter("gap_seconds_total", "Time without a connection, as far as it is known.", label),

		transitions: f.counter("lease_transitions_total", "Beginnings and ends of this replica's leadership, by reason.", label, "reason"),
		connects:    f.counter("connects_total", "Attempts to connect to Zoom, by outcome.", "outcome", label),
		closes:      f.counter("closes_total", "Connections to Zoom that ended, by cause.", label, "cause"),

		zoom:      f.histogram("zoom_delay_seconds", "From an event (event_ts) to Zoom's sending it (x-zm-request-timestamp, whole seconds).", long, label),
		delivery:  f.histogram("delivery_delay_seconds", "From Zoom's sending an event (whole seconds) to its receipt.", long, label),
		store:     f.histogram("store_delay_seconds", "From the receipt of an event to its storage in the stream.", brief, label),
		late:      f.histogram("event_lateness_seconds", "From an event (event_ts) to its storage in the stream.", long, label),
		roundTrip: f.histogram("heartbeat_round_trip_seconds", "From a heartbeat to Zoom's answer.", brief, label),
	}
}

func (v *vectors) subscription(id string) *Subscription {
	own := prometheus.Labels{label: id}
	return &Subscription{
		ready:    v.connects.WithLabelValues(ready, id),
		Received: v.received.With(own), Published: v.published.With(own), Malformed: v.malformed.With(own), InvalidSignature: v.invalid.With(own), UnknownName: v.unknown.With(own),
		RepeatedLocal: v.duplicates.WithLabelValues(id, "local"), RepeatedStream: v.duplicates.WithLabelValues(id, "stream"),
		Gaps: v.gaps.With(own), GapSeconds: v.gapSeconds.With(own),
		zoom: durations{Observer: v.zoom.With(own)}, delivery: durations{Observer: v.delivery.With(own)},
		store: durations{Observer: v.store.With(own)}, late: durations{Observer: v.late.With(own)}, roundTrip: v.roundTrip.With(own),
		transitions: v.transitions.MustCurryWith(own), connects: v.connects.MustCurryWith(own), closes: v.closes.MustCurryWith(own),
	}
}

// durations are those of one hop: a histogram for Prometheus, and the latest values for the status.
type durations struct {
	prometheus.Observer
	recent recent
}

func (d *durations) note(at time.Time, took time.Duration) { d.Observe(d.recent.note(at, took)) }

// Arrived records a received event. happened and sent are zero if Zoom does not give them.
func (s *Subscription) Arrived(happened, sent, received time.Time) {
	if !happened.IsZero() && !sent.IsZero() {
		s.zoom.note(received, sent.Sub(happened))
	}
	if !sent.IsZero() {
		s.delivery.note(received, received.Sub(sent))
	}
}

// Stored records that an event is in the stream. happened is zero if Zoom does not give it.
func (s *Subscription) Stored(happened, received, stored time.Time) {
	s.store.note(stored, stored.Sub(received))
	if !happened.IsZero() {
		s.late.note(stored, stored.Sub(happened))
	}
}

// RoundTrip records the round trip of a heartbeat.
func (s *Subscription) RoundTrip(took time.Duration) { s.roundTrip.Observe(took.Seconds()) }

// Transition counts the beginning or end of a leadership.
func (s *Subscription) Transition(reason string) { s.transitions.WithLabelValues(reason).Inc() }

// Connected counts a successful connect.
func (s *Subscription) Connected() { s.ready.Inc() }

// Connect counts a failed attempt to connect.
func (s *Subscription) Connect(outcome string) { s.connects.WithLabelValues(outcome).Inc() }

// Close counts the end of a connection.
func (s *Subscription) Close(cause string) { s.closes.WithLabelValues(cause).Inc() }
