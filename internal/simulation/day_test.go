package simulation

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

var dayFlag = flag.Duration("day", 2*time.Hour, "how long TestDay lasts, on its own time")

// TestDay runs for long, with a fault every ten minutes: goroutines and open files do not grow, and
// none is left at the end. (For goroutines the bubble sees to that.)
func TestDay(t *testing.T) {
	turns := []step{
		{fault: faultNATSDown, slot: -1, sub: -1, last: 40 * time.Second}, leader(faultZoomCut, 0, 5*time.Second), leader(faultNATSHole, 0, time.Minute),
		leader(faultCrash, 0, 20*time.Second), {fault: faultEverywhere, slot: -1, sub: -1, last: 30 * time.Second}, leader(faultStop, 0, 10*time.Second),
		{fault: faultReset, slot: -1, sub: 0}, leader(faultNATSCut, 0, 2*time.Minute), {fault: faultClose, slot: -1, sub: 0}, {fault: faultRolling, slot: -1, sub: -1, last: 5 * time.Second},
	}
	p := scenario(2, *dayFlag)
	p.rate = 1
	var goroutines, files []int
	for n := 0; ; n++ {
		s := turns[n%len(turns)]
		if s.at = time.Duration(n+1) * 10 * time.Minute; s.at >= p.length {
			break
		}
		p.steps = append(p.steps, s)
	}
	p.watch = func() { // called when each fault is long over
		goroutines, files = append(goroutines, runtime.NumGoroutine()), append(files, openFiles(t))
	}
	before := openFiles(t)
	play(t, p, func(t *testing.T, v *evidence, l timeline) {
		t.Logf("%d events, %d sockets, %d markers", len(v.ledger.Entries), len(l.sockets), len(l.markers))
	})
	t.Logf("goroutines %v, open files %v", goroutines, files)
	for what, counts := range map[string][]int{"goroutines": goroutines, "open files": files} {
		if half := counts[:len(counts)/2+1]; slices.Max(counts) > slices.Max(half)+8 {
			t.Errorf("%s grow: %v", what, counts)
		}
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are left open", after-before)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("open files are not known on this system: %v", err)
	}
	return len(entries)
}
