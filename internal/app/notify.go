package app

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// notifyPeriod is how often the supervisor is told what this process does.
const notifyPeriod = 2 * time.Second

// notify tells systemd when this process is ready, what it does, that its loops run,
// and that it stops (https://www.freedesktop.org/software/systemd/man/sd_notify.html).
// A standby is ready.
func (m *monitor) notify(ctx context.Context) {
	if m.o.Notify == nil {
		return
	}
	tick := time.NewTicker(min(notifyPeriod, watchdogPeriod()))
	defer tick.Stop()
	ready, lastStatus := false, ""
	for {
		now := m.statusWithoutCounts()
		if now.Phase == status.Ready && !ready {
			ready = true
			m.o.Notify("READY=1")
		}
		if text := summary(now); text != lastStatus && now.Phase != status.Draining { // which drain reports
			lastStatus = text
			m.o.Notify("STATUS=" + text)
		}
		if len(m.health.Stuck(time.Now())) == 0 {
			m.o.Notify("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchdogPeriod is half of what systemd gives a service between two signs of life.
func watchdogPeriod() time.Duration {
	microseconds, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if longest := int64(time.Hour / time.Microsecond); err != nil || microseconds <= 1 || microseconds > longest {
		return notifyPeriod
	}
	return time.Duration(microseconds) * time.Microsecond / 2
}

// summary is one line for people. It changes only when a fact in it does.
func summary(s *status.Replica) string {
	if s.Phase == status.Starting {
		if s.Outbox.NATS {
			return "waiting for JetStream"
		}
		return "waiting for NATS"
	}
	leads, connected := 0, 0
	for _, sub := range s.Subscriptions {
		if sub.Role == status.Leader {
			leads++
			if sub.State == "connected" {
				connected++
			}
		}
	}
	text := fmt.Sprintf("leads %d of %d subscriptions, %d connected", leads, len(s.Subscriptions), connected)
	if !s.Outbox.NATS {
		text += "; no connection to NATS"
	}
	if n := len(s.Alarms); n > 0 {
		text += fmt.Sprintf("; alarms raised: %d", n)
	}
	return text
}
