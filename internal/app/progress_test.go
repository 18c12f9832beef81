package app

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/watch/httpserver"
	"github.com/zoomstream/zoomstream/internal/watch/metrics"
	"github.com/zoomstream/zoomstream/publisher"
)

// TestNothingIsStoredAlthoughSomethingWaits: the process is then unhealthy, unless NATS or the disk
// is the reason, which a restart would not mend.
func TestNothingIsStoredAlthoughSomethingWaits(t *testing.T) {
	trouble := errors.New("away")
	acked := func(n int) publisher.Stats { return publisher.Stats{Acked: uint64(n)} }
	for name, c := range map[string]struct {
		stats     func(sample int, start time.Time) outbox.Stats
		away      bool
		unhealthy bool
	}{
		"nothing waits":        {stats: func(int, time.Time) outbox.Stats { return outbox.Stats{Direct: true} }},
		"the oldest stays":     {stats: func(_ int, start time.Time) outbox.Stats { return outbox.Stats{Oldest: start} }, unhealthy: true},
		"younger ones pass it": {stats: func(n int, start time.Time) outbox.Stats { return outbox.Stats{Oldest: start, Publisher: acked(n)} }, unhealthy: true},
		"the oldest changes": {stats: func(n int, start time.Time) outbox.Stats {
			return outbox.Stats{Oldest: start.Add(time.Duration(n) * time.Millisecond), Publisher: acked(n)}
		}},
		"the disk is not read":   {stats: func(int, time.Time) outbox.Stats { return outbox.Stats{Spooled: 7} }, unhealthy: true},
		"the disk is read":       {stats: func(n int, _ time.Time) outbox.Stats { return outbox.Stats{Spooled: 7000 - n, Publisher: acked(n)} }},
		"NATS takes nothing":     {stats: func(_ int, start time.Time) outbox.Stats { return outbox.Stats{Oldest: start, Trouble: trouble} }},
		"NATS is away":           {stats: func(_ int, start time.Time) outbox.Stats { return outbox.Stats{Oldest: start} }, away: true},
		"the disk cannot be had": {stats: func(_ int, start time.Time) outbox.Stats { return outbox.Stats{Oldest: start, SpoolErr: trouble} }},
		"NATS comes and goes": {stats: func(n int, start time.Time) outbox.Stats {
			st := outbox.Stats{Oldest: start}
			if n%10 == 0 {
				st.Trouble = trouble
			}
			return st
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var health httpserver.Health
				var p progress
				start := time.Now()
				health.Beat(storing)
				for n := range int(2 * time.Minute / metrics.SamplePeriod) {
					if !p.stalled(c.stats(n, start), !c.away) {
						health.Beat(storing)
					}
					time.Sleep(metrics.SamplePeriod)
				}
				if stuck := health.Stuck(time.Now()); len(stuck) > 0 != c.unhealthy {
					t.Errorf("stuck: %v", stuck)
				}
			})
		})
	}
}
