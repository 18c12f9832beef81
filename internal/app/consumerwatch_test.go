package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// TestConsumersAlarm: a consumer is about to lose events to a short max_age. The leader raises the
// alarm, and so does the next leader.
func TestConsumersAlarm(t *testing.T) {
	h := newMonitored(t)
	_, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, MaxAge: 4 * time.Second, Duplicates: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	down := make(chan struct{}, 1)
	h.startWith(func(o *Options) { o.StepDown = down })
	h.ready()
	other := &harness{t: t, sim: h.sim, settings: h.settings, log: &syncbuf.Buffer{}}
	other.settings.Replica, other.settings.DataDir = "replica-2", t.TempDir()
	other.startWith(func(*Options) {})
	t.Cleanup(other.end)
	if _, err := h.js.CreateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "zoom.meeting.>"}); err != nil {
		t.Fatal(err)
	}
	flowing, dry := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	t.Cleanup(func() { dry(); traffic.Wait() })
	traffic.Go(func() {
		h.sim.Traffic(flowing, zoomsim.Traffic{Subscription: subID, Rate: 4, Bodies: [][]byte{[]byte(`{"event":"meeting.started"}`)}}) //nolint:errcheck // it ends with the context
	})
	h.await("the alarm is raised", 15*time.Second, func() bool { return h.raised(message.AlarmConsumers) })
	// Not from the stream, which may have removed it by the time that a busy machine asks.
	if log := h.log.String(); !strings.Contains(log, `"alarm":"consumers","code":"alarm.raised","detail":"consumer slow: loses events `) || strings.Contains(log, "alarm.cleared") {
		t.Errorf("the log is\n%s", log)
	}
	s, others := h.status(), other.status()
	if s.Consumers == nil || len(s.Consumers.Durable) != 1 || s.Consumers.Durable[0].LosesBy != status.LimitAge || others.Consumers != nil || len(others.Alarms) != 0 {
		t.Errorf("the leader has %+v, the standby %+v and %+v", s.Consumers, others.Consumers, others.Alarms)
	}
	_, metrics := h.get("/metrics")
	for _, line := range []string{`zoomstream_alarm{alarm="consumers",subscription=""} 1`, `zoomstream_consumer_redelivered{consumer="slow"} 0`, `zoomstream_consumer_pending{consumer="slow"} `, `zoomstream_consumer_oldest_unprocessed_seconds{consumer="slow"} `} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("/metrics has no %s", line)
		}
	}
	down <- struct{}{}
	other.await("the next leader raises it", 15*time.Second, func() bool { return other.raised(message.AlarmConsumers) && !h.raised(message.AlarmConsumers) })
	if h.status().Consumers != nil {
		t.Error("who does not lead any more still shows consumers")
	}
	if err := h.js.DeleteConsumer(t.Context(), "ZOOM", "slow"); err != nil {
		t.Fatal(err)
	}
	other.await("the alarm is cleared", 15*time.Second, func() bool { return !other.raised(message.AlarmConsumers) })
}

// TestConsumersUnseen: if the NATS user may not list consumers, the status says why, and the log
// once.
func TestConsumersUnseen(t *testing.T) {
	h := newMonitored(t)
	h.nats = natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "a", Password: "a", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.LIST.>"}}}},
	}})
	h.settings.NATSURL, h.settings.NATSUser, h.settings.NATSPassword = h.nats.ClientURL(), "a", "a"
	h.startWith(func(*Options) {})
	h.ready()
	h.await("it is told why", 15*time.Second, func() bool { return h.status().Consumers != nil })
	if c := h.status().Consumers; !strings.Contains(c.Trouble, "may not publish to $JS.API.CONSUMER.LIST.ZOOM") || h.raised(message.AlarmConsumers) {
		t.Errorf("%+v, alarms %+v", c, h.status().Alarms)
	}
	if told := strings.Count(h.log.String(), `CONSUMER.LIST.ZOOM`); told != 1 {
		t.Errorf("the log tells of it %d times", told)
	}
}

// TestDescribeConsumers: the alarm's text names some of the consumers, and counts the others.
func TestDescribeConsumers(t *testing.T) {
	report := &status.Consumers{Durable: []status.Consumer{{Name: "fine", Pending: 3}}}
	if text := describeConsumers(report); text != "" {
		t.Errorf("nothing is wrong: %q", text)
	}
	for i := range 7 {
		report.Durable = append(report.Durable, status.Consumer{Name: fmt.Sprintf("c%d", i), Pending: 9, LosesBy: status.LimitAge, LosesIn: 7200})
	}
	text := describeConsumers(report)
	if !strings.HasPrefix(text, "consumer c0: loses events in 2h (9 pending, 0 unacknowledged); ") || !strings.HasSuffix(text, "c4: loses events in 2h (9 pending, 0 unacknowledged); and 2 more") {
		t.Errorf("%q", text)
	}
}
