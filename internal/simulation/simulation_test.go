package simulation

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only")
	seedsFlag = flag.Int("seeds", 0, "how many seeds to run (100; 20 with -short or -race)")
	fromFlag  = flag.Uint64("from", 1, "the first seed")
	twiceFlag = flag.Bool("twice", false, "fail a seed only if it fails twice in a row")
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
		p := newPlan(*seedFlag)
		_, problems := simulate(t, p, testing.Verbose(), nil)
		report(t, p, problems)
		return
	}
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = 100
		if testing.Short() || slowed {
			seeds = 20
		}
		guarded(t, seeds)
		return
	}
	judged := make(map[string]int)
	for n := range uint64(seeds) {
		p := newPlan(*fromFlag + n)
		t.Run(fmt.Sprintf("seed=%d", p.seed), func(t *testing.T) {
			times, problems := simulate(t, p, false, nil)
			if len(problems) > 0 && *twiceFlag {
				// What chance decides beside the seed can be found, but not
				// judged, by an ordinary run: it must show twice.
				if _, again := simulate(t, newPlan(p.seed), false, nil); len(again) == 0 {
					t.Logf("once, and not again: %q\n%s", problems, p)
					problems = nil
				}
			}
			report(t, p, problems)
			for promise, n := range times {
				judged[promise] += n
			}
		})
	}
	t.Logf("promises put to the test: %v", judged)
}

// guarded runs seeds in processes of their own, a few in each. The client library
// holds a mutex while it waits for the server's answer to a new watcher, and in a
// bubble whoever waits for a mutex stops the clock: once in many hundred seeds
// nothing goes on any more. Such a process is ended, and its seeds are run again.
func guarded(t *testing.T, seeds int) {
	const few, patience = 10, 3 * time.Minute
	for n := 0; n < seeds; n += few {
		from := *fromFlag + uint64(n)
		t.Run(fmt.Sprintf("seeds=%d-%d", from, from+few-1), func(t *testing.T) {
			for try := 1; ; try++ {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSimulation$", "-test.timeout=0", "-twice", fmt.Sprint("-seeds=", few), fmt.Sprint("-from=", from))
				out, err := cmd.CombinedOutput()
				stuck := ctx.Err() != nil
				cancel()
				if err == nil {
					return
				}
				if !stuck || try > 1 {
					t.Fatalf("%v\n%s", err, out)
				}
				t.Logf("nothing went on for %s; once more", patience)
			}
		})
	}
}

// report fails the test if there are problems.
func report(t *testing.T, p *plan, problems []string) {
	for _, problem := range problems {
		t.Error(problem)
	}
	if t.Failed() {
		t.Logf("%s\nreplay: go test ./internal/simulation -run TestSimulation -seed=%d -v", p, p.seed)
	}
}

// simulate runs a plan in a bubble of its own. It returns how often each promise
// was put to the test, and what is wrong. A scenario may look at the evidence.
func simulate(t *testing.T, p *plan, verbose bool, inspect func(*testing.T, *evidence)) (judged map[string]int, problems []string) {
	w := newWorld(p, t.TempDir())
	ended := false
	t.Cleanup(func() {
		if !ended { // a panic: of a deadlock only this tells the seed
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
		problems = w.run()
	})
	ended = true
	return w.judged, problems
}
