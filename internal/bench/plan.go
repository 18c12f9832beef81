package main

import "time"

// plan is what a run measures.
type plan struct {
	rounds  int
	bursts  []burst
	windows []int // of the bare publisher, to choose the best from
	trial   int   // events per trial of a window
	rates   []pacedRun
	starts  int           // starts of zoomstream, per round
	spooled int           // events that arrive while NATS is away
	idle    time.Duration // how long fleets are observed while no event comes
}

// burst is a number of events of one size, sent as fast as they are taken.
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

// usualSize is the size of events, in bytes, in all measures except bursts.
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

// quickPlan is small enough for a test.
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
