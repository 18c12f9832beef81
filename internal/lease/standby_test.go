package lease

import (
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
)

// TestLogStandby: a standby logs whom it stands by for, once for each leader.
func TestLogStandby(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var log syncbuf.Buffer
		w.log = &log
		standingBy := func(replica, leader string) int {
			n := 0
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, `"replica":"`+replica+`"`) && strings.Contains(line, "standing by for "+sub+", led by "+leader+`"`) {
					n++
				}
			}
			return n
		}
		a := w.leader("a")
		b := w.join("b", sub)
		w.await("b says so", time.Second, func() bool { return standingBy("b", "a") == 1 })
		time.Sleep(3 * ttl) // renewals are not logged
		a.crash()
		w.await("b leads", time.Second, func() bool { return b.leads(sub) })
		w.join("c", sub)
		w.await("c says so", time.Second, func() bool { return standingBy("c", "b") == 1 })
		b.StepDown()
		w.await("b says so, too", 5*time.Second, func() bool { return standingBy("b", "c") == 1 })
		if n := strings.Count(log.String(), "standing by"); n != 3 {
			t.Errorf("it is said %d times:\n%s", n, &log)
		}
	})
}

// TestLogStandbyOfTheDead: nobody stands by for a dead process that left its lease behind.
func TestLogStandbyOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var log syncbuf.Buffer
		w.log = &log
		w.leader("a").crash()
		b := w.join("b", sub)
		w.await("b leads", ttl+time.Second, func() bool { return b.leads(sub) })
		if strings.Contains(log.String(), "standing by") {
			t.Errorf("it says:\n%s", &log)
		}
	})
}
