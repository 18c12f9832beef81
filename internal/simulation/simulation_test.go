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
	seedsFlag = flag.Int("seeds", 0, "how many seeds to run (24; 6 with -short or -race)")
	fromFlag  = flag.Uint64("from", 1, "the first seed")
)

// slowed reports whether the race detector is on: a seed then takes four times as long.
var slowed bool

// TestMain starts what nats-server would otherwise start in the first bubble and then share with
// all others.
func TestMain(m *testing.M) {
	ats.Register()
	runtime.GOMAXPROCS(1) // so that a seed usually repeats its failure; a bubble has little to do at once
	code := m.Run()
	ats.Unregister()
	os.Exit(code)
}

func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		p := newPlan(*seedFlag)
		_, problems := simulate(t, p, testing.Verbose(), nil)
		report(t, p, problems)
		return
	}
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = 24
		if testing.Short() || slowed {
			seeds = 6
		}
	}
	judged := make(map[string]int)
	for n := range uint64(seeds) {
		p := newPlan(*fromFlag + n)
		t.Run(fmt.Sprintf("seed=%d", p.seed), func(t *testing.T) {
			times, problems := simulate(t, p, false, nil)
			report(t, p, problems)
			for promise, n := range times {
				judged[promise] += n
			}
		})
	}
	t.Logf("promises put to the test: %v", judged)
	if *seedsFlag == 0 && judged["alarm contested"] == 0 {
		t.Error("no alarm of these seeds was put to the test")
	}
}

// report fails the test if there are problems, and says how to replay them.
func report(t *testing.T, p *plan, problems []string) {
	for _, problem := range problems {
		t.Error(problem)
	}
	if t.Failed() {
		t.Logf("%s\nreplay: go test ./internal/simulation -run TestSimulation -seed=%d -v", p, p.seed)
	}
}

// simulate runs a plan in a bubble of its own. It returns how often each promise was tested, and
// what is wrong. A scenario may inspect the evidence.
func simulate(t *testing.T, p *plan, verbose bool, inspect func(*testing.T, *evidence)) (judged map[string]int, problems []string) {
	w := newWorld(p, t.TempDir())
	ended := false
	t.Cleanup(func() {
		if !ended { // after a panic, such as a deadlock, nothing else names the seed
			t.Logf("%s\nreplay: go test ./internal/simulation -run TestSimulation -seed=%d -v", p, p.seed)
		}
		if verbose {
			w.journal.print(os.Stdout)
		} else if t.Failed() {
			t.Logf("journal: %s", w.journal.keep(p.seed)) // the seed may not fail again
		}
	})
	// nats.go keeps timers in a global pool. Timers of an earlier bubble must not be used in this
	// one, and two collections empty the pool.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		if inspect != nil {
			w.inspect = func(v *evidence) { inspect(t, v) }
		}
		problems = w.run()
	})
	ended = true
	return w.judged, problems
}
