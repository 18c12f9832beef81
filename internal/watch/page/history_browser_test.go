//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// importModel makes the page's model.js available to a test's expressions.
func importModel(b *browsertest.Browser) {
	b.Run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](`import("/assets/model.js").then(m => { window.model = m; return true; })`, chromedp.EvalAwaitPromise)(ctx, target)
		return err
	}))
}

// TestTheRateSurvivesAHandover: ten events come each second. Whoever leads, and whatever is unknown
// in between, the plot shows no other rate.
func TestTheRateSurvivesAHandover(t *testing.T) {
	t.Parallel()
	w := demo(2)
	from := time.Now().UTC()
	n := uint64(0) // polls, five seconds apart
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, err := inner(ctx, history)
		o.At = from.Add(time.Duration(n) * 5 * time.Second)
		moved, sampled := &o.Subscriptions[0], &o.Subscriptions[1]
		moved.History, sampled.History = nil, nil
		moved.Events, sampled.Events = 1_000_000+50*n, 2_000_000+50*n
		if n >= 4 {
			moved.Leader, moved.LeaderNonce, moved.Events = "zoomstream-1", "n-zoomstream-1", 5_000_000+50*n
		}
		if n == 8 || n == 9 { // the leader is silent
			moved.Answered, moved.Events, moved.Late = false, 0, status.Quantiles{}
		}
		if n < 5 {
			sampled.History = []status.Sample{{At: o.At.Add(-2 * time.Second), Rate: 10, P50: 0.1, P99: 0.2}}
		}
		n++
		return o, err
	}
	b := chromium.Open(t, 1280, 900, false)
	b.See(serveSource(t, source, "0").url)
	importModel(b)
	b.Until(`model.history("meetings").rate.length >= 10 && model.history("webinars").rate.length >= 8`)
	for name, breaks := range map[string]int{"meetings": 2, "webinars": 0} {
		rates := browsertest.Eval[[]*float64](b, `model.history("`+name+`").rate`)
		nulls := 0
		for i, r := range rates {
			if r == nil {
				nulls++
			} else if *r < 9.99 || *r > 10.01 {
				t.Errorf("%s: point %d is %v events per second", name, i, *r)
			}
		}
		if near := browsertest.Eval[bool](b, `model.history("`+name+`").t.some((t, i, all) => t - all[i - 1] < 4)`); near {
			t.Errorf("%s: the server's samples and the browser's own lie among each other", name)
		}
		if nulls != breaks {
			t.Errorf("%s: %d breaks, want %d", name, nulls, breaks)
		}
	}
	b.Clean()
}
