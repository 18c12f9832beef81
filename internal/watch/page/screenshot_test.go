//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

var (
	screenshot      = flag.String("screenshot", "", "write a picture of the page to this file")
	screenshotWidth = flag.Int64("screenshot-width", 1280, "width of the picture")
	screenshotTall  = flag.Int64("screenshot-height", 1010, "height of the picture; 0: the whole page")
	screenshotDark  = flag.Bool("screenshot-dark", false, "in dark colours")
	screenshotLines = flag.Int("screenshot-subscriptions", 1, "how many subscriptions it shows")
	screenshotScene = flag.String("screenshot-scene", "", "trouble, away (NATS), event (opened), search, young, kinds, frozen (a leader), unused (a subscription), behind (consumers), alone (a standby without NATS), or spooling (a leader without NATS)")
)

// TestScreenshot writes a picture of the page to the file of the flag -screenshot.
func TestScreenshot(t *testing.T) {
	w := demo(*screenshotLines)
	source := w.source()
	switch *screenshotScene {
	case "trouble":
		trouble(w)
	case "frozen":
		freeze(w, 2)
	case "unused":
		w.overview.Subscriptions = append(w.overview.Subscriptions, unused("abandoned"))
	case "behind":
		w.overview.Consumers = &status.Consumers{At: time.Now(), More: 3, Durable: []status.Consumer{
			{Name: "archive", Pending: 12, Sequence: 184_455, Oldest: 90},
			{Name: "billing", Pending: 4711, Unacknowledged: 1, Redelivered: 1, Sequence: 21, Oldest: 594_000, LosesIn: 10_800, LosesBy: status.LimitAge},
			{Name: "crm", Unacknowledged: 1, Redelivered: 1, Sequence: 184_402, Oldest: 420, Stuck: 400},
			{Name: "idle"},
		}}
	case "young":
		young(w)
	case "kinds":
		changes(w)
		l := &w.overview.Subscriptions[0]
		l.Connection, l.StateSince = 2, time.Now().Add(-time.Minute)
	case "alone":
		source = alone(w, 1)
	case "spooling":
		source = alone(w, 0)
		p := &w.overview.Replicas[0].Outbox
		p.Spooled, p.Bytes, p.Kept = 8, 6656, "nothing is lost: 8 events are kept on disk, 6.5 KiB of 1 GiB"
	}
	b := chromium.Open(t, *screenshotWidth, max(*screenshotTall, 100), *screenshotDark)
	b.Run(chromedp.EmulateViewport(*screenshotWidth, max(*screenshotTall, 100), chromedp.EmulateScale(1.5)))
	b.See(serveSource(t, source, "0").url)
	b.Until(`document.querySelectorAll(".card canvas").length >= 2`)
	switch *screenshotScene {
	case "away":
		w.change(func(w *world) { w.away = errAway })
		b.Until(`document.body.classList.contains("stale")`)
	case "search":
		search(b, "meeting.ended")
		b.Says("#search-said", "found")
	case "event":
		browsertest.Eval[bool](b, `document.querySelectorAll("#events .open")[1].click() ?? true`)
		b.Says("#events pre", "account_id")
		browsertest.Eval[bool](b, `document.querySelector("details.fold").open = true`)
	}
	time.Sleep(500 * time.Millisecond) // the bars grow for a moment
	take := chromedp.CaptureScreenshot()
	if *screenshotTall == 0 {
		take = chromedp.FullScreenshot(100)
	}
	picture, err := chromedp.Run(b.Context, take)
	if err != nil {
		t.Fatal(err)
	}
	if len(picture) < 10_000 {
		t.Errorf("a picture of %d bytes", len(picture))
	}
	b.Clean()
	if *screenshot != "" {
		if err := os.WriteFile(*screenshot, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
