//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

func quantiles(p50, p99 float64) status.Quantiles {
	return status.Quantiles{Count: 256, P50: p50, P99: p99}
}

// TestTheFaultIsNotTheNetworksForASecond: Zoom states whole seconds for when it sent, so nobody is
// blamed for less than a second.
func TestTheFaultIsNotTheNetworksForASecond(t *testing.T) {
	t.Parallel()
	const below = "below 1 s"
	b := chromium.Open(t, 1280, 900, false)
	for _, c := range []struct {
		zoom, way, store, late status.Quantiles
		said                   string
		zoomRow, wayRow        [2]string // p50 and p99
	}{
		{
			quantiles(0.0054, 0.1), quantiles(0.581, 0.99), quantiles(0.0018, 0.004), quantiles(0.0084, 0.05),
			"Stored after 8.4 ms: Zoom and delivery 6.6 ms, storage 1.8 ms.", [2]string{below, below}, [2]string{below, below},
		}, {
			quantiles(0.7, 1.2), quantiles(0.55, 1.05), quantiles(0.002, 0.004), quantiles(1.252, 1.6),
			"Stored after 1.3 s: Zoom and delivery 1.3 s, storage 2 ms.", [2]string{"about 1 s", "about 1 s"}, [2]string{"about 1 s", "about 1 s"},
		}, {
			quantiles(0.2, 4.4), quantiles(3.3, 8.2), quantiles(0.002, 0.004), quantiles(3.502, 9),
			"Stored after 3.5 s: Zoom less than 1 s, delivery 3 s, storage 2 ms.", [2]string{below, "4 s"}, [2]string{"3 s", "8 s"},
		}, {
			quantiles(7384, 7920), quantiles(0.508, 1.3), quantiles(0.004, 0.02), quantiles(7384.5, 7921),
			"Zoom sends events 2 h 3 min late; delivery adds less than 1 s, storage 4 ms.", [2]string{"2 h 3 min", "2 h 12 min"}, [2]string{below, below},
		}, {
			quantiles(0.1, 0.2), quantiles(0.6, 1), quantiles(84, 97), quantiles(84.2, 97.3),
			"NATS stores events only 1 min 24 s after their receipt; Zoom and delivery add less than 1 s.", [2]string{below, below}, [2]string{below, below},
		},
	} {
		w := demo(1)
		l := &w.overview.Subscriptions[0]
		l.Zoom, l.Way, l.Store, l.Late = c.zoom, c.way, c.store, c.late
		b.See(serve(t, w, "0").url)
		if said := b.Text(".card .said"); said != c.said {
			t.Errorf("it says %q, want %q", said, c.said)
		}
		for i, row := range [][2]string{c.zoomRow, c.wayRow} {
			cells := browsertest.Eval[[]string](b, `[...document.querySelectorAll(".hops tbody tr")[`+string(rune('0'+i))+`].querySelectorAll("td.num")].map(e => e.textContent)`)
			bars := browsertest.Eval[float64](b, `+document.querySelectorAll(".hops tbody .h-bar")[`+string(rune('0'+i))+`].getAttribute("width")`)
			if [2]string(cells) != row {
				t.Errorf("hop %d of %q is %q, want %q", i, c.said, cells, row)
			}
			if known := !strings.Contains(row[0], "1 s") || strings.HasPrefix(row[0], "1 s"); known != (bars > 0) {
				t.Errorf("hop %d of %q is %q, with a bar of %v", i, c.said, row[0], bars)
			}
		}
	}
	b.Clean()
}

func TestWhatQuantilesAreOf(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, demo(1), "0").url)
	for _, where := range []string{`document.querySelector(".hops thead th").title`, `document.querySelector("footer").textContent`} {
		if text := browsertest.Eval[string](b, where); !strings.Contains(text, "last five minutes, at most 256 of them") {
			t.Errorf("%s is %q", where, text)
		}
	}
	b.Says(".hops", "to the second")
	b.Clean()
}

// written has the texts that the lateness plot last wrote on its canvas.
const written = `(() => {
	const texts = window.texts = new Map(), fill = CanvasRenderingContext2D.prototype.fillText;
	CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
		const box = this.measureText(text), at = this.getTransform().transformPoint({ x, y }), mid = this.textBaseline === "middle", right = this.textAlign === "right";
		if (!texts.has(this.canvas)) texts.set(this.canvas, new Map());
		texts.get(this.canvas).set(text, right && mid ? at.x >= box.width && at.y >= box.actualBoundingBoxAscent : true);
		return fill.apply(this, arguments);
	};
	window.labels = () => [...(texts.get(document.querySelectorAll(".card canvas")[1]) ?? []).keys()].filter((s) => s && !s.includes(":")).join();
	window.cut = () => [...(texts.get(document.querySelectorAll(".card canvas")[1]) ?? [])].filter(([, whole]) => !whole).map(([s]) => s).join();
	document.getElementById("win-24h").click(); // has it drawn anew
	return true;
})()`

func TestLabelsOfTheLatenessPlot(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	for _, c := range []struct {
		low, high float64
		labels    string
	}{
		{0.004, 70_000, "1 ms,100 ms,10 s,15 min,1 d"},
		{0.004, 0.8, "1 ms,10 ms,100 ms,1 s"},
		{0.12, 5, "100 ms,1 s,10 s"},
		{5000, 8000, "1 h,6 h"},
		{0.12, 97_000, "100 ms,10 s,15 min,6 h,10 d"},
	} {
		w := demo(1)
		for i := range w.overview.Subscriptions[0].History {
			s := &w.overview.Subscriptions[0].History[i]
			s.P50, s.P99 = c.low, c.high
		}
		w.overview.Subscriptions[0].Late = quantiles(c.low, c.high) // the page makes samples of it if this takes long
		b.See(serve(t, w, "0").url)
		b.Until(`document.querySelectorAll(".card canvas").length === 2`)
		browsertest.Eval[bool](b, written)
		b.Until("labels() !== ''")
		if labels := browsertest.Eval[string](b, "labels()"); labels != c.labels {
			t.Errorf("from %v s to %v s the labels are %s, want %s", c.low, c.high, labels, c.labels)
		}
		if cut := browsertest.Eval[string](b, "cut()"); cut != "" {
			t.Errorf("cut off: %s", cut)
		}
	}
	b.Clean()
}
