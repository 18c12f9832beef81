package app

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// supervisor collects what systemd would be told.
type supervisor struct {
	mu   sync.Mutex
	said []string
}

func (s *supervisor) notify(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, strings.Split(state, "\n")...)
}

func (s *supervisor) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

func (s *supervisor) count(what string) (n int) {
	for _, line := range s.all() {
		if strings.HasPrefix(line, what) {
			n++
		}
	}
	return n
}

// TestNotify: systemd is told once that the process is ready, then its status, signs of life, and
// that it stops. Before NATS is there, the process is alive but not ready.
func TestNotify(t *testing.T) {
	h := newMonitored(t)
	port, dir := h.natsPort(), t.TempDir()
	natstest.Stop(h.nats)
	var s supervisor
	h.startWith(func(o *Options) { o.Notify = s.notify })
	h.await("it waits", 5*time.Second, func() bool { return slices.Contains(s.all(), "STATUS=waiting for NATS") && s.count("WATCHDOG=1") > 0 })
	if s.count("READY=1") != 0 {
		t.Errorf("ready without NATS: %q", s.all())
	}
	natstest.Run(t, dir, port)
	h.ready()
	h.await("it is ready and says what it does", 10*time.Second, func() bool {
		return s.count("READY=1") == 1 && slices.Contains(s.all(), "STATUS=leads 1 of 1 subscriptions, 1 connected")
	})
	h.await("it is alive", 10*time.Second, func() bool { return s.count("WATCHDOG=1") > 3 })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if s.count("READY=1") != 1 || s.count("STATUS=leads 1 of 1 subscriptions, 1 connected") != 1 {
		t.Errorf("said again what had not changed: %q", s.all())
	}
	if s.count("STOPPING=1") != 1 {
		t.Errorf("it has stopped and did not say so: %q", s.all())
	}
}

// TestNotifyStopBeforeNATS: a process that was never ready also reports that it stops.
func TestNotifyStopBeforeNATS(t *testing.T) {
	h := newMonitored(t)
	natstest.Stop(h.nats)
	var s supervisor
	h.startWith(func(o *Options) { o.Notify = s.notify })
	h.url()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if s.count("STOPPING=1") != 1 || s.count("READY=1") != 0 {
		t.Errorf("%q", s.all())
	}
}

func TestWatchdogPeriod(t *testing.T) {
	for usec, want := range map[string]time.Duration{
		"": notifyPeriod, "x": notifyPeriod, "0": notifyPeriod, "-5": notifyPeriod, "1000000": 500 * time.Millisecond, "30000000": 15 * time.Second,
		"18446744073709551615": notifyPeriod,
	} {
		t.Setenv("WATCHDOG_USEC", usec)
		if got := watchdogPeriod(); got != want {
			t.Errorf("%q: %s, want %s", usec, got, want)
		}
	}
	for _, usec := range []string{"1", "9223372036854775807"} { // a ticker accepts no period that is not positive
		t.Setenv("WATCHDOG_USEC", usec)
		if got := watchdogPeriod(); got <= 0 {
			t.Errorf("%q: %s", usec, got)
		}
	}
}

func TestSummary(t *testing.T) {
	for want, s := range map[string]*status.Replica{
		"waiting for NATS": {Phase: status.Starting},
		"leads 1 of 2 subscriptions, 0 connected; no connection to NATS; alarms raised: 1": {
			Phase: status.Ready, Alarms: make([]status.Alarm, 1), Subscriptions: []status.Subscription{{Role: status.Leader, State: "disconnected"}, {Role: status.Standby, State: "connected"}},
		},
	} {
		if got := summary(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
