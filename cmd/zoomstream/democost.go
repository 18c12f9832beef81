package main

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// cost is what a change of leaders cost, by the simulator's ledger and by what
// is stored.
type cost struct {
	hole     time.Duration // without a connection
	gap      message.Gap   // zero: none
	lost     int           // events that are not stored
	unstored int           // of these, those that a connection was there for: they may be on their way
	doubled  int           // events that are stored twice
}

// outcome tells who leads now and what the change cost, once what was on its
// way is stored.
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

// cost is that of a change which began and was over at the given times.
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
	var last time.Time // end of the socket before
	for _, k := range ledger.Sockets {
		if k.Ready.IsZero() {
			continue
		}
		if k.Ready.After(began) && !last.IsZero() {
			c.hole += max(0, k.Ready.Sub(last)) // a displaced one ends after the readiness of the next
		}
		last = k.Retired
	}
	if gap := d.stored.lastGap(); gap.To.After(began) {
		c.gap = gap
	}
	return c
}

// gapText is the length of the gap, as the marker in the stream has it.
func (c cost) gapText(none, before string) string {
	switch {
	case c.gap != (message.Gap{}):
		return fmt.Sprintf("%s%d ms", before, c.gap.Milliseconds)
	case c.hole > 0:
		return fmt.Sprintf("%s%d ms, unmarked", before, max(1, c.hole.Milliseconds()))
	}
	return none
}
