package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// TestManyReplicas shares 60 subscriptions among three replicas, then stops one, adds one and kills
// one. Each time, handovers even the leases out.
func TestManyReplicas(t *testing.T) {
	const many = 60
	var subscriptions []string
	for n := range many {
		subscriptions = append(subscriptions, fmt.Sprintf("sub-%d", n+1))
	}
	f := newFleet(t, fleetNATS(t), subscriptions...)

	began := time.Now()
	for range 3 {
		f.launch()
	}
	f.live()
	connected := time.Since(began)
	f.flow(300)
	t.Logf("all connected in %v, evened out in %v", connected, f.even(15, 25))

	f.stop(f.alive[0])
	t.Logf("one stopped: evened out in %v", f.even(25, 35))
	f.launch()
	t.Logf("one joined: evened out in %v", f.even(15, 25))

	f.steady() // leases that are being handed over do not belong to the killed one
	victim := f.alive[1]
	held := 0
	for _, pid := range f.leases() {
		if pid == victim.cmd.Process.Pid {
			held++
		}
	}
	before := f.sim.Summary("").Ready
	f.kill(victim)
	f.sockets(before + int64(held))
	t.Logf("one killed: evened out in %v", f.even(25, 35))
	f.flows(300)
	f.finish()

	e := f.evidence()
	e.told(message.GapCrash, held)
	var holes []time.Duration
	for _, h := range e.holes() {
		holes = append(holes, h.to.Sub(h.from))
	}
	median, worst := spread(holes)
	t.Logf("%d subscriptions of the killed one: median %v, worst %v without a socket", held, median, worst)
	if worst > 10*time.Second { // it would be 15 s if the lease had to expire
		t.Errorf("%v without a socket", worst)
	}
	for _, m := range f.all {
		if n := strings.Count(m.stderr.String(), "access token obtained"); n != 1 {
			t.Errorf("%s asked for %d tokens", m.name, n)
		}
	}
}

// steady waits until no lease has changed hands for a second.
func (f *fleet) steady() {
	f.t.Helper()
	for before, now := map[string]int(nil), f.leases(); !maps.Equal(before, now); before, now = now, f.leases() {
		time.Sleep(time.Second)
	}
}

// even waits until each live replica holds least to most leases, and returns how long that took.
func (f *fleet) even(least, most int) (took time.Duration) {
	f.t.Helper()
	began := time.Now()
	var held map[int]int
	for time.Since(began) < 20*time.Second {
		held = make(map[int]int)
		total := 0
		for _, pid := range f.leases() {
			held[pid]++
			total++
		}
		even := total == len(f.subscriptions)
		for _, m := range f.alive {
			n := held[m.cmd.Process.Pid]
			even = even && least <= n && n <= most
			total -= n
		}
		if even && total == 0 {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Fatalf("%d replicas, leases by process: %v", len(f.alive), held)
	return 0
}
