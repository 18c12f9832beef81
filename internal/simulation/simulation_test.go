package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats-server/v2/server/ats"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only")
	seedsFlag = flag.Int("seeds", 0, "how many seeds to run (200; 20 with -short or -race)")
	fromFlag  = flag.Uint64("from", 1, "the first seed")
)

// slowed: by the race detector a seed takes four times as long.
var slowed bool

// TestMain starts what nats-server would start within the first bubble and
// then use in all others.
func TestMain(m *testing.M) {
	ats.Register()
	runtime.GOMAXPROCS(1) // so that a seed mostly shows the same again; a bubble has little to do at once
	code := m.Run()
	ats.Unregister()
	os.Exit(code)
}

func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		simulate(t, newPlan(*seedFlag), testing.Verbose())
		return
	}
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = 200
		if testing.Short() || slowed {
			seeds = 20
		}
	}
	judged := make(map[string]int)
	for n := range uint64(seeds) {
		p := newPlan(*fromFlag + n)
		t.Run(fmt.Sprintf("seed=%d", p.seed), func(t *testing.T) {
			for promise, times := range simulate(t, p, false) {
				judged[promise] += times
			}
		})
	}
	t.Logf("promises put to the test: %v", judged)
}

// simulate runs a plan in a bubble of its own. It returns how often each promise
// was put to the test.
func simulate(t *testing.T, p *plan, verbose bool) map[string]int {
	return simulateAnd(t, p, verbose, nil)
}

// simulateAnd also lets a scenario look at the evidence.
func simulateAnd(t *testing.T, p *plan, verbose bool, inspect func(*testing.T, *evidence)) map[string]int {
	w := newWorld(p, t.TempDir())
	t.Cleanup(func() { // also after a panic: of a deadlock only this tells the seed
		if t.Failed() {
			t.Logf("%s\nreplay: go test ./internal/simulation -run TestSimulation -seed=%d -v", p, p.seed)
		}
		if verbose {
			w.journal.print(os.Stdout)
		}
	})
	// nats.go keeps timers in a global pool, and those of an earlier bubble
	// must not be used in this one: two collections empty it.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		if inspect != nil {
			w.inspect = func(v *evidence) { inspect(t, v) }
		}
		for _, problem := range w.run() {
			t.Error(problem)
		}
	})
	return w.judged
}
