//go:build !race

// Excluded under the race detector: it has the other tests, and these fill dozens of bubbles.
package simulation

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	leaseStream = "KV_zoomstream"
	stateStream = "KV_zoomstream-state"
)

// TestEpochsRiseWithoutBuckets deletes the bucket of the leases, or both buckets, again and again:
// while replicas run, and while none does. Epochs in the stream still rise, and no number is used
// twice.
func TestEpochsRiseWithoutBuckets(t *testing.T) {
	for _, which := range []string{leaseStream, leaseStream + " " + stateStream} {
		p := scenario(2, 22*time.Minute)
		deleted := func(at time.Duration) step {
			return step{at: at, fault: faultDelete, slot: -1, sub: -1, mode: which}
		}
		stop := func(slot int, at, last time.Duration) step {
			return step{at: at, fault: faultStop, slot: slot, last: last}
		}
		p.steps = []step{
			// Around a handover: shortly before it, and long before it.
			deleted(5 * time.Minute), leader(faultStop, 5*time.Minute+20*time.Second, 5*time.Second),
			deleted(8 * time.Minute), leader(faultStepDown, 10*time.Minute, 0),
			// While no replica runs.
			stop(0, 12*time.Minute, time.Minute), stop(1, 12*time.Minute+10*time.Second, time.Minute), deleted(12*time.Minute + 40*time.Second),
			// Before the leader dies.
			deleted(16 * time.Minute), leader(faultCrash, 16*time.Minute+30*time.Second, 10*time.Second),
			leader(faultStop, 18*time.Minute, 10*time.Second),
		}
		p.rate = 0.5
		_, problems := simulate(t, p, testing.Verbose(), func(t *testing.T, v *evidence) {
			var epochs []uint64
			for _, m := range v.stored {
				if n := len(epochs); m.epoch > 0 && (n == 0 || epochs[n-1] != m.epoch) {
					epochs = append(epochs, m.epoch)
				}
			}
			t.Logf("%s: %v", which, epochs)
			for n := 1; n < len(epochs); n++ {
				if epochs[n] <= epochs[n-1] {
					t.Errorf("%s deleted: epochs %v", which, epochs)
					break
				}
			}
			if len(epochs) < 5 {
				t.Errorf("epochs %v", epochs)
			}
		})
		// Without a state nobody knows that there was a connection before, so promise 5 does not
		// apply.
		report(t, p, slices.DeleteFunc(problems, func(s string) bool { return strings.HasPrefix(s, "P5") }))
	}
}
