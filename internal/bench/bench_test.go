//go:build linux && !race

// Excluded under the race detector, which would not see the processes.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain turns the test binary into a process of the benchmark, if that starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// maxAllocations is a ratchet on the objects that the connector's process allocates for an event of
// 1 KiB, from the frame to the acknowledgement. Today they are 16. Lower it when that falls.
const maxAllocations = 20

func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds zoomstream and runs many processes")
	}
	zoomstream := filepath.Join(t.TempDir(), "zoomstream")
	if out, err := exec.Command("go", "build", "-o", zoomstream, "../../cmd/zoomstream").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return zoomstream
}

// TestGrowth runs a short form of the measurement of how cost grows.
func TestGrowth(t *testing.T) {
	p := fullGrowth()
	p.bursts, p.windows, p.trial = []burst{{"1 KiB", usualSize, 500}, {"4 KiB", 4 << 10, 500}}, []int{1024}, 100
	p.idle = time.Second
	p.replicated, p.spools, p.fleets = 500, []int{600}, []fleet{{3, 2}}
	f, err := growth(t.Context(), p, build(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"burst 4 KiB", "allocations 4 KiB", "burst 1 KiB, 3 of 3 servers", "catching up 600", "connected 3 subscriptions, 2 replicas", "memory 3 subscriptions, 2 replicas"} {
		if m := f.find(name); m == nil || m.Median[connector] <= 0 || m.Unit == "" || !strings.Contains(f.list(), name+", "+m.Unit) {
			t.Errorf("%q is %+v in\n%s", name, m, f.list())
		}
	}
}

// TestBench runs a short form of the whole benchmark, and checks the one figure that does not
// depend on the machine.
func TestBench(t *testing.T) {
	zoomstream := build(t)
	f, err := measure(t.Context(), quickPlan(), zoomstream, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if m := f.find(r.name); m == nil || m.Median[connector] == 0 {
			t.Errorf("%q was not measured", r.name)
		}
	}
	for _, m := range f.Measures {
		if m.Unit == "" || !slices.ContainsFunc([]string{connector, bare}, func(name string) bool { return m.Median[name] > 0 }) {
			t.Errorf("measure %q has the unit %q and the medians %v", m.Name, m.Unit, m.Median)
		}
	}
	if got := f.find("allocations 1 KiB").Median[connector]; got > maxAllocations {
		t.Errorf("%.1f allocations for an event of 1 KiB, more than %d", got, maxAllocations)
	}
}
