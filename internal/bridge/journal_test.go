package bridge

import (
	"testing"
	"time"
)

// TestConnectionIsCountedBeforeItIsRecorded sees to it that who records the
// connections is not woken before the new one counts: what was received on it
// would stay held until something else changes.
func TestConnectionIsCountedBeforeItIsRecorded(t *testing.T) {
	j := newJournal(&Bridge{})
	for n := range uint64(500_000) {
		go j.opened(time.Now())
		<-j.wake
		if counted := j.opens.Load(); counted != n+1 {
			t.Fatalf("%d connections count when number %d is to be recorded", counted, n+1)
		}
	}
}
