package main

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// cost is what a change of leaders cost, by the simulator's ledger and by what
// is stored.
type cost struct {
	hole     time.Duration // without a connection
	nobody   int           // events that found none
	unstored int           // events that were written to one and are not stored
	gap      message.Gap   // zero: none
}

// outcome tells who leads now and what the change cost, once what was on its
// way is stored.
func (d *demo) outcome(ctx context.Context, began time.Time) string {
	ready, leader := time.Now(), "nobody"
	if r := d.leader(ctx); r != nil {
		leader = r.name
	}
	bound, cancel := context.WithTimeout(ctx, settleBound)
	defer cancel()
	for {
		c := d.cost(began, ready)
		complete := c.unstored == 0 && (c.hole == 0 || c.gap != message.Gap{})
		if complete || pause(bound, lookEvery) != nil {
			return leader + " leads" + c.String()
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
			c.nobody++
		case !d.stored.has(e.Digest):
			c.unstored++
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

func (c cost) String() string {
	text := "; no moment without a connection"
	if c.hole > 0 {
		text = fmt.Sprintf(" after %d ms without a connection", max(1, c.hole.Milliseconds()))
	}
	if c.nobody > 0 {
		text += "; " + events(c.nobody) + " found no connection"
	}
	if c.unstored > 0 {
		text += "; " + events(c.unstored) + " lost in flight"
	}
	if c.nobody+c.unstored == 0 {
		text += "; 0 events lost"
	}
	if c.gap != (message.Gap{}) {
		text += fmt.Sprintf("; gap marker: %d ms, %s", c.gap.Milliseconds, c.gap.Cause)
	} else if c.hole > 0 {
		text += "; no gap marker"
	}
	return text
}

func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
