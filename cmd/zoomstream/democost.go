package main

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// cost is what a change of leader cost, according to the simulator's ledger and the stream.
type cost struct {
	hole     time.Duration // time without a connection
	gap      message.Gap   // zero: none
	lost     int           // events not stored
	unstored int           // of these, events sent over a live connection: they may be in flight
	doubled  int           // events stored twice
}

// outcome returns the new leader and what the change cost, once messages in flight have been
// stored.
func (d *demo) outcome(ctx context.Context, began time.Time) (leader string, c cost) {
	ready := time.Now()
	leader = "nobody"
	if r := d.leader(ctx); r != nil {
		leader = r.name
	}
	bound, cancel := context.WithTimeout(ctx, settleBound)
	defer cancel()
	for {
		c = d.cost(began, ready)
		complete := c.unstored == 0 && (c.hole == 0 || c.gap != message.Gap{})
		if complete || sleep.For(bound, lookEvery) != nil {
			return leader, c
		}
	}
}

// cost computes the cost of a change that began and ended at the given times.
func (d *demo) cost(began, over time.Time) (c cost) {
	ledger := d.sim.Ledger()
	for _, e := range ledger.Entries {
		switch {
		case e.Raw || e.At.Before(began.Add(-inFlight)) || e.At.After(over):
		case e.Outcome == zoomsim.Nobody || e.Outcome == zoomsim.Lost:
			c.lost++
		default:
			switch times := d.stored.times(e.Digest); {
			case times == 0:
				c.lost++
				c.unstored++
			case times > 1:
				c.doubled++
			}
		}
	}
	var last time.Time // end of the previous socket
	for _, k := range ledger.Sockets {
		if k.Ready.IsZero() {
			continue
		}
		if k.Ready.After(began) && !last.IsZero() {
			c.hole += max(0, k.Ready.Sub(last)) // a displaced socket ends after the next one is ready
		}
		last = k.Retired
	}
	if gap := d.stored.lastGap(); gap.To.After(began) {
		c.gap = gap
	}
	return c
}

// gapText formats the length of the gap, according to the marker in the stream.
func (c cost) gapText(none, before string) string {
	switch {
	case c.gap != (message.Gap{}):
		return fmt.Sprintf("%s%d ms", before, c.gap.Milliseconds)
	case c.hole > 0:
		return fmt.Sprintf("%s%d ms, unmarked", before, max(1, c.hole.Milliseconds()))
	}
	return none
}
