package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	takeoverBound = 30 * time.Second       // twice the lease's TTL
	inFlight      = 500 * time.Millisecond // what Zoom sent this shortly before may be in flight
	settleBound   = 3 * time.Second        // to let that be stored
	lookEvery     = 50 * time.Millisecond  // pause between checks
)

// keys passes on the lines of the standard input. A read from a terminal cannot be interrupted, so
// the goroutine ends with the input or the process.
func keys(ctx context.Context) <-chan string {
	ignoreBackground()
	lines := make(chan string)
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			select {
			case lines <- strings.ToLower(strings.TrimSpace(input.Text())):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// direct executes the keys, and plays the script until one is pressed.
func (d *demo) direct(ctx context.Context, c *demoCmd, quit func()) {
	var script []string
	if c.Script {
		script = []string{"h", "c"}
	}
	pressed := keys(ctx)
	for {
		var key string
		var due <-chan time.Time
		if len(script) > 0 {
			due = time.After(c.Pause)
		}
		select {
		case <-ctx.Done():
			return
		case key = <-pressed:
			script = nil
		case <-due:
			key, script = script[0], script[1:]
		}
		switch key {
		case "h":
			d.act(ctx, "handover", "%s leads and is told to step down", (*replica).stepDown)
		case "c":
			d.act(ctx, "crash", "%s leads and is killed (kill -9)", (*replica).crash)
		case "q":
			quit()
			return
		default:
			d.say("h, c or q, then Enter")
		}
	}
}

// act does something to the leader and reports the result.
func (d *demo) act(ctx context.Context, what, how string, do func(*replica) error) {
	leader := d.awaitSteady(ctx)
	if ctx.Err() != nil {
		return
	}
	if leader == nil {
		d.say("nothing done: the two replicas are not ready")
		return
	}
	fmt.Fprintln(d.stdout)
	mark := paintOf(d.stdout).Strong
	if what == "crash" {
		mark = paintOf(d.stdout).Bad
	}
	d.sayIn(mark, what+": "+how, leader.name)
	began, ready := time.Now(), d.sim.Summary(demoSubscription).Ready
	if err := do(leader); err != nil {
		d.say("that failed: %s", err)
		return
	}
	waiting, cancel := context.WithTimeout(ctx, takeoverBound)
	defer cancel()
	err := d.sim.Wait(waiting, demoSubscription, func(sum zoomsim.Summary) bool { return sum.Ready > ready && sum.Live == 1 })
	if ctx.Err() != nil { // the wait was cut short
		return
	}
	if err != nil {
		d.sayIn(paintOf(d.stdout).Bad, "no new connection within %s", takeoverBound)
		return
	}
	if successor, cost := d.outcome(ctx, began); ctx.Err() == nil {
		d.sayCost(act{what: what, from: leader.name, to: successor, cost: cost})
	}
}

// awaitSteady waits until a replica leads and is connected, and the other one is up. It returns the
// leader, or nil on timeout.
func (d *demo) awaitSteady(ctx context.Context) *replica {
	ctx, cancel := context.WithTimeout(ctx, takeoverBound)
	defer cancel()
	for {
		leader := d.leader(ctx)
		if leader != nil && d.settled() && d.sim.Summary(demoSubscription).Live == 1 {
			return leader
		}
		if sleep.For(ctx, lookEvery) != nil {
			return nil
		}
	}
}
