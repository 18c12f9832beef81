package natsconn

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeniedClientsFillNoLog: a client may cause denials for ever, but their log lines are bounded.
// The server's own lines are all there.
func TestDeniedClientsFillNoLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, logger := newLog()
		l := &serverLog{log: logger}
		const denied, rounds = 1000, 3
		for range rounds {
			for range denied {
				l.Errorf(`%s - Publish Violation - Subject %q`, "pipe - cid:7", "zoom.forged")
			}
			l.Errorf("JetStream failed to store a msg: %v", "disk full")
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "Violation"); n != rounds*clientLines {
			t.Errorf("%d lines", n)
		}
		if n := log.with(t, "disk full"); n != rounds {
			t.Errorf("of the server itself: %d lines", n)
		}
		if n := strings.Count(log.String(), `"left_out":970`); n != rounds-1 {
			t.Errorf("what was left out is told %d times:\n%s", n, log)
		}
	})
}
