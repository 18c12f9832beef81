package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// shown returns the metrics of a replica that leads one subscription and stands by for another, and
// its status, in which everything is set.
func shown() (*Metrics, *status.Replica) {
	at := time.Unix(1_700_000_000, 500_000_000)
	now := &status.Replica{
		Phase: status.Ready,
		Subscriptions: []status.Subscription{
			{Subscription: "led", Role: status.Leader, State: "connected", LastFrame: at, LastEvent: at.Add(-time.Minute), Trusted: 9.5, InFlight: 3},
			{Subscription: "stood-by", Role: status.Standby},
		},
		Others: []status.Other{{Replica: "b"}, {Replica: "c"}},
		Outbox: status.Outbox{NATS: true, Direct: true, InFlight: 4, Spooled: 5, Bytes: 600, Max: 1000, Age: 7.5, Disk: "no space left"},
		Token:  status.Token{Expires: at, Refreshes: 8, Failures: 9},
		Alarms: []status.Alarm{{Alarm: "spool"}, {Alarm: "late", Subscription: "led"}},
	}
	m := New("v1", "abc", []string{"led", "stood-by"})
	m.Show(func() *status.Replica { return now }, []string{"spool", "token"})
	return m, now
}

// use causes everything that adds a series.
func use(m *Metrics) {
	m.Published(time.Millisecond)
	m.Raised("late")
	s := m.Subscription("led")
	s.Transition("taken")
	s.Connect("ready")
	s.Close("reset")
	s.RoundTrip(time.Millisecond)
}

func compare(t *testing.T, m *Metrics, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	m, _ := shown()
	use(m)
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestShow(t *testing.T) {
	m, _ := shown()
	compare(t, m, `
# HELP zoomstream_leader Whether this replica leads the subscription.
# TYPE zoomstream_leader gauge
zoomstream_leader{subscription="led"} 1
zoomstream_leader{subscription="stood-by"} 0
# HELP zoomstream_connected Whether this replica is connected to Zoom.
# TYPE zoomstream_connected gauge
zoomstream_connected{subscription="led"} 1
zoomstream_connected{subscription="stood-by"} 0
# HELP zoomstream_lease_margin_seconds How long this leader may still connect without renewing its lease.
# TYPE zoomstream_lease_margin_seconds gauge
zoomstream_lease_margin_seconds{subscription="led"} 9.5
# HELP zoomstream_last_frame_timestamp_seconds Last sign of life of the connection.
# TYPE zoomstream_last_frame_timestamp_seconds gauge
zoomstream_last_frame_timestamp_seconds{subscription="led"} 1.7000000005e+09
# HELP zoomstream_last_event_timestamp_seconds Last event received.
# TYPE zoomstream_last_event_timestamp_seconds gauge
zoomstream_last_event_timestamp_seconds{subscription="led"} 1.6999999405e+09
# HELP zoomstream_in_flight Messages received and not yet stored.
# TYPE zoomstream_in_flight gauge
zoomstream_in_flight{subscription="led"} 3
zoomstream_in_flight{subscription="stood-by"} 0
# HELP zoomstream_alarm Whether an alarm is raised; without a subscription it concerns the whole replica.
# TYPE zoomstream_alarm gauge
zoomstream_alarm{alarm="late",subscription="led"} 1
zoomstream_alarm{alarm="spool",subscription=""} 1
zoomstream_alarm{alarm="token",subscription=""} 0
# HELP zoomstream_token_refreshes_total Requests for an access token, by outcome.
# TYPE zoomstream_token_refreshes_total counter
zoomstream_token_refreshes_total{outcome="error"} 9
zoomstream_token_refreshes_total{outcome="ok"} 8
`, "zoomstream_leader", "zoomstream_connected", "zoomstream_lease_margin_seconds", "zoomstream_last_frame_timestamp_seconds",
		"zoomstream_last_event_timestamp_seconds", "zoomstream_in_flight", "zoomstream_alarm", "zoomstream_token_refreshes_total")
	for name, want := range map[string]float64{
		"nats_connected": 1, "publishing_direct": 1, "publish_in_flight": 4, "spool_messages": 5, "spool_bytes": 600, "spool_max_bytes": 1000,
		"spool_age_seconds": 7.5, "spool_failed": 1, "token_expiry_timestamp_seconds": 1_700_000_000.5, "ready": 1, "other_replicas": 2,
	} {
		got := gathered(t, m)["zoomstream_"+name]
		if len(got) != 1 || got[0].GetGauge().GetValue() != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestShowFollows: each scrape reads the status anew.
func TestShowFollows(t *testing.T) {
	m, now := shown()
	gathered(t, m)
	now.Phase, now.Alarms, now.Token.Expires = status.Draining, nil, time.Time{}
	now.Subscriptions[0].State = "disconnected"
	now.Subscriptions[1].State = "connected" // another replica is connected
	now.Outbox = status.Outbox{}
	compare(t, m, `
# HELP zoomstream_alarm Whether an alarm is raised; without a subscription it concerns the whole replica.
# TYPE zoomstream_alarm gauge
zoomstream_alarm{alarm="spool",subscription=""} 0
zoomstream_alarm{alarm="token",subscription=""} 0
# HELP zoomstream_connected Whether this replica is connected to Zoom.
# TYPE zoomstream_connected gauge
zoomstream_connected{subscription="led"} 0
zoomstream_connected{subscription="stood-by"} 0
# HELP zoomstream_ready Whether this replica leads or stands by, and is not about to stop.
# TYPE zoomstream_ready gauge
zoomstream_ready 0
# HELP zoomstream_nats_connected Whether this replica is connected to NATS.
# TYPE zoomstream_nats_connected gauge
zoomstream_nats_connected 0
# HELP zoomstream_spool_failed Whether the spool accepts nothing: it cannot be used, or is full.
# TYPE zoomstream_spool_failed gauge
zoomstream_spool_failed 0
`, "zoomstream_alarm", "zoomstream_connected", "zoomstream_ready", "zoomstream_nats_connected", "zoomstream_spool_failed", "zoomstream_token_expiry_timestamp_seconds")
}

// TestCountersGoOn: counters continue across the terms of a subscription, and while the status does
// not have it.
func TestCountersGoOn(t *testing.T) {
	m, now := shown()
	m.Subscription("led").Gaps.Inc()
	m.Subscription("led").GapSeconds.Add(1.5)
	now.Subscriptions = nil
	gathered(t, m)
	m.Subscription("led").Gaps.Inc()
	compare(t, m, `
# HELP zoomstream_gaps_total Gaps found: intervals without a connection.
# TYPE zoomstream_gaps_total counter
zoomstream_gaps_total{subscription="led"} 2
zoomstream_gaps_total{subscription="stood-by"} 0
# HELP zoomstream_gap_seconds_total Time without a connection, as far as it is known.
# TYPE zoomstream_gap_seconds_total counter
zoomstream_gap_seconds_total{subscription="led"} 1.5
zoomstream_gap_seconds_total{subscription="stood-by"} 0
`, "zoomstream_gaps_total", "zoomstream_gap_seconds_total")
}

// TestBounded: many events add no more series than one of each kind, and only configured
// subscriptions have series.
func TestBounded(t *testing.T) {
	m, _ := shown()
	use(m)
	count := func() (n int) {
		for _, all := range gathered(t, m) {
			n += len(all)
		}
		return n
	}
	before := count()
	for i := range 1000 {
		use(m)
		s, now := m.Subscription("led"), time.Now()
		s.Received.Inc()
		s.RepeatedLocal.Inc()
		s.Malformed.Inc()
		s.Arrived(now.Add(-time.Duration(i)*time.Minute), now, now)
		s.Stored(now.Add(-time.Duration(i)*time.Minute), now, now)
	}
	if after := count(); after != before {
		t.Errorf("%d series have become %d", before, after)
	}
	if m.Subscription("other") != nil {
		t.Error("there are instruments for a subscription that is not configured")
	}
	allowed := map[string]bool{"led": true, "stood-by": true, "": true}
	for name, all := range gathered(t, m) {
		for _, series := range all {
			for _, l := range series.GetLabel() {
				if l.GetName() == label && !allowed[l.GetValue()] {
					t.Errorf("%s has the subscription %q", name, l.GetValue())
				}
			}
		}
	}
}

// gathered returns the series of each metric.
func gathered(t *testing.T, m *Metrics) map[string][]*dto.Metric {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]*dto.Metric)
	for _, f := range families {
		all[f.GetName()] = f.GetMetric()
	}
	return all
}
