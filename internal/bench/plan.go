package main

import "time"

// plan is what a run measures.
type plan struct {
	rounds  int
	bursts  []burst
	windows []int // of the bare publisher; the best one is used
	trial   int   // events to try a window with
	rates   []pacedRun
	starts  int           // of the connector, per round
	spooled int           // events that come while NATS is away
	idle    time.Duration // how long fleets are watched while no event comes
}

// burst is so many events of one size, as fast as they are taken.
type burst struct {
	name  string
	size  int
	count int
}

// pacedRun is events of 1 KiB at a rate.
type pacedRun struct {
	rate float64 // events per second
	last time.Duration
}

func (r pacedRun) count() int { return int(r.rate * r.last.Seconds()) }

// usualSize is that of the events of all measures but the bursts.
const usualSize = 1 << 10

func fullPlan(rounds int) plan {
	return plan{
		rounds:  rounds,
		bursts:  []burst{{"1 KiB", usualSize, 100_000}, {"300 B", 300, 100_000}, {"16 KiB", 16 << 10, 10_000}},
		windows: []int{256, 1024, 4096},
		trial:   20_000,
		rates:   []pacedRun{{100, 8 * time.Second}, {1000, 5 * time.Second}, {10_000, 4 * time.Second}},
		starts:  5,
		spooled: 50_000,
	}
}

// quickPlan is what a test can wait for.
func quickPlan() plan {
	return plan{
		rounds:  1,
		bursts:  []burst{{"1 KiB", usualSize, 3000}, {"300 B", 300, 3000}, {"16 KiB", 16 << 10, 300}},
		windows: []int{1024},
		trial:   500,
		rates:   []pacedRun{{100, 300 * time.Millisecond}, {1000, 300 * time.Millisecond}, {10_000, 300 * time.Millisecond}},
		starts:  1,
		spooled: 3000,
	}
}
