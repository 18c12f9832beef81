package app

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// notifyPeriod is how often the supervisor gets an update.
const notifyPeriod = 2 * time.Second

// notify tells systemd that this process is ready, what it does, and that its loops run
// (https://www.freedesktop.org/software/systemd/man/sd_notify.html). A standby counts as ready.
// drain reports the stop.
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
		if text := summary(now); text != lastStatus && now.Phase != status.Draining { // drain reports that one
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

// watchdogPeriod is half of systemd's watchdog timeout (WATCHDOG_USEC), or notifyPeriod if that is
// not set or not sane.
func watchdogPeriod() time.Duration {
	microseconds, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if longest := int64(time.Hour / time.Microsecond); err != nil || microseconds <= 1 || microseconds > longest {
		return notifyPeriod
	}
	return time.Duration(microseconds) * time.Microsecond / 2
}

// summary is a one-line status for people. It changes only when one of its facts does.
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
