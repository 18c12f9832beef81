//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// drawnTimes records where the plots write their times: the middle of each, in pixels of the
// window.
const drawnTimes = `(() => {
	const texts = window.texts = new Map(), fill = CanvasRenderingContext2D.prototype.fillText;
	CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
		if (!texts.has(this.canvas)) texts.set(this.canvas, new Map());
		const at = this.getTransform().transformPoint({ x, y }).x / devicePixelRatio;
		texts.get(this.canvas).set(text, this.textAlign === "center" ? at + this.canvas.getBoundingClientRect().left : NaN);
		return fill.apply(this, arguments);
	};
	window.plotTimes = () => Object.fromEntries([...texts.get(document.querySelectorAll(".card canvas")[1]) ?? []].filter(([s]) => s.includes(":")));
	window.stripTimes = () => Object.fromEntries([...document.querySelectorAll(".card .strip .s-text[data-utc]")].map((t) => {
		const box = t.getBoundingClientRect(); return [t.textContent, box.left + box.width / 2]; }));
	return true;
})()`

// TestOneTimeAxis: a card's strip and plots have one time axis, with the same ticks at the same
// places.
func TestOneTimeAxis(t *testing.T) {
	t.Parallel()
	for _, width := range []int64{390, 1440} {
		for name, scene := range map[string]func(*world){"old": func(*world) {}, "young": young} {
			w := demo(1)
			scene(w)
			b := chromium.Open(t, width, 900, false)
			b.See(serve(t, w, "0").url)
			b.Until(`document.querySelectorAll(".card canvas").length === 2`)
			browsertest.Eval[bool](b, drawnTimes)
			for _, window := range []string{"win-24h", "win-15m"} {
				browsertest.Eval[bool](b, `(texts.clear(), document.getElementById("`+window+`").click()) ?? true`)
				b.Until(`Object.keys(stripTimes()).length > 0 && Object.keys(stripTimes()).every((k) => k in plotTimes())`)
				strip, plot := browsertest.Eval[map[string]float64](b, "stripTimes()"), browsertest.Eval[map[string]float64](b, "plotTimes()")
				for text, at := range strip {
					if math.IsNaN(plot[text]) || math.Abs(plot[text]-at) > 1.5 {
						t.Errorf("%s, %d pixels, %s: %s is at %.1f in the strip and at %.1f in the plot", name, width, window, text, at, plot[text])
					}
				}
				// The drawings also begin and end at the same places.
				edges := browsertest.Eval[[]float64](b, `(() => {
					const none = document.querySelector(".card .s-none").getBoundingClientRect();
					return [none.left, none.right, ...[...document.querySelectorAll(".card .u-over")].flatMap((o) => { const r = o.getBoundingClientRect(); return [r.left, r.right]; })];
				})()`)
				for i, edge := range edges {
					if math.Abs(edge-edges[i%2]) > 1 {
						t.Errorf("%s, %d pixels: strip and plots reach from and to %v", name, width, edges)
					}
				}
			}
			b.Clean()
		}
	}
}

// TestTheAxisBeginsWithWhatIsKnown: the axis does not begin before the stream and the process
// existed, but it covers the whole window if something older is known.
func TestTheAxisBeginsWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	// share is the part of the strip, at its beginning, of which nothing is known.
	const share = `(() => { const s = document.querySelector(".card .strip"), up = s.querySelector(".s-up").getBoundingClientRect(), all = s.querySelector(".s-none").getBoundingClientRect();
		return (up.left - all.left) / all.width; })()`
	const label = `document.querySelector(".card .strip").getAttribute("aria-label")`
	for _, c := range []struct {
		name   string
		change func(w *world)
		window string
		want   string
	}{
		{"four minutes old", young, "win-15m", "The last 4 min"},
		{"four minutes old", young, "win-24h", "The last 4 min"},
		{"an old connection", func(w *world) { w.overview.Subscriptions[0].StateSince = time.Now().Add(-90 * time.Hour) }, "win-15m", "The last 15 min"},
		{"an old connection", func(w *world) { w.overview.Subscriptions[0].StateSince = time.Now().Add(-90 * time.Hour) }, "win-24h", "The last 1 d"},
		{"an old gap", func(w *world) {
			young(w)
			w.moments = append([]page.Moment{{At: time.Now().Add(-5 * time.Hour), Until: time.Now().Add(-5*time.Hour + time.Second), Kind: page.KindGap, Subscription: "meetings"}}, w.moments[1:]...)
		}, "win-24h", "The last 5 h"},
		{"just begun", func(w *world) {
			young(w)
			l := &w.overview.Subscriptions[0]
			w.moments, l.History, l.Since, l.StateSince = nil, nil, time.Now().Add(-2*time.Second), time.Now().Add(-time.Second)
		}, "win-15m", "The last 1 min"}, // a shorter axis would be useless
	} {
		w := demo(1)
		c.change(w)
		b.See(serve(t, w, "0").url)
		browsertest.Eval[bool](b, `document.getElementById("`+c.window+`").click() ?? true`)
		if said := browsertest.Eval[string](b, label); !strings.HasPrefix(said, c.want) {
			t.Errorf("%s, %s: %q, want %q", c.name, c.window, said, c.want)
		}
		if got := browsertest.Eval[float64](b, share); c.want == "The last 4 min" && got > 0.03 {
			t.Errorf("%s, %s: of the first %.0f %% nothing is known", c.name, c.window, got*100)
		}
	}
	b.Clean()
}

// TestValuesStandBesideThePlots: one can read a plot's values without pointing at it.
func TestValuesStandBesideThePlots(t *testing.T) {
	t.Parallel()
	w := demo(1)
	now := time.Now().Truncate(time.Second)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	w.overview.Subscriptions[0].History = []status.Sample{
		{At: at(-400), Rate: 3, P50: 0.1, P99: 0.2}, {At: at(-300), Rate: 77, P50: 0.3, P99: 5}, {At: at(-200), Rate: 4, P50: 0.2, P99: 0.9}, {At: at(-100), Rate: 0}, {At: at(-3), Rate: 2.5},
	}
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, _ bool) (*status.Overview, error) { return inner(ctx, true) } // otherwise the page makes its own samples
	b := chromium.Open(t, 1440, 900, false)
	b.See(serveSource(t, source, "0").url)
	b.Until(`document.querySelectorAll(".card canvas").length === 2`)
	const readings = `[...document.querySelectorAll(".card .reading")].map((r) => r.innerText.replace(/\s+/g, " ").trim())`
	clock := func(s int) string { // with the date if midnight lies between
		return browsertest.Eval[string](b, fmt.Sprintf(`((d) => (d.toDateString() === new Date().toDateString() ? "" : d.toLocaleDateString("sv") + " ") + d.toTimeString().slice(0, 8))(new Date(%d))`, at(s).UnixMilli()))
	}
	want := []string{
		"latest 2.5/s highest 77/s at " + clock(-300), "p50 latest 200 ms at " + clock(-200) + " highest 300 ms at " + clock(-300), "p99 latest 900 ms at " + clock(-200) + " highest 5 s at " + clock(-300),
	}
	if got := browsertest.Eval[[]string](b, readings); strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("%q, want %q", got, want)
	}
	titles := browsertest.Eval[[]string](b, `[...document.querySelectorAll(".card h4")].map((h) => h.innerText.replace(/\s+/g, " ").trim())`)
	if strings.Join(titles, "; ") != "Connection; Events received per second; Lateness from event to storage, ms to days, logarithmic" {
		t.Errorf("the titles are %q", titles)
	}
	// Pointing at one plot shows the values of both.
	spot := browsertest.Eval[[]float64](b, `((r) => [r.left + r.width * 0.55, r.top + r.height / 2])(document.querySelector(".card .u-over").getBoundingClientRect())`)
	b.Run(chromedp.MouseEvent("mouseMoved", spot[0], spot[1]))
	b.Until(`/^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d: 77\/s, p50 300 ms, p99 5 s$/.test(document.querySelector(".card .hover").textContent)`)
	// Beside the plots, not below them.
	if !browsertest.Eval[bool](b, `[...document.querySelectorAll(".card .readings")].every((r, i) => { const a = r.getBoundingClientRect(), p = document.querySelectorAll(".card .plot")[i].getBoundingClientRect();
		return a.left >= p.right && a.top < p.bottom && a.bottom > p.top - 30; })`) {
		t.Error("the values do not stand beside the plots")
	}
	for i, words := range []string{"Plot of events per second: latest 2.5/s, highest 77/s at ", "Plot of lateness: p50 latest 200 ms at "} {
		if said := browsertest.Eval[string](b, fmt.Sprintf(`document.querySelectorAll(".card .plot")[%d].getAttribute("aria-label")`, i)); !strings.HasPrefix(said, words) {
			t.Errorf("who sees no picture is told %q", said)
		}
	}
	b.Clean()
}
