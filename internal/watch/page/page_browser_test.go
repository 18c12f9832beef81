//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

func TestShowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := demo(3)
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#verdict-text", "All connected")
	b.Says("#verdict-more", "3 of 3 subscriptions connected")
	b.Until(`document.querySelectorAll(".card").length === 3 && document.querySelectorAll(".card canvas").length === 6`)
	folded := b.Text("main")
	for _, text := range []string{"zoomstream-0, for 7 min", "42 ms", "node-0, pid 7"} {
		if strings.Contains(folded, text) {
			t.Errorf("%q is not folded away", text)
		}
	}
	unfold(b)
	card := b.Text(".card")
	for _, text := range []string{
		"meetings", "connected for 7 min", "zoomstream-0, for 7 min", "zoomstream-1, zoomstream-2", "12.4/s", "42 ms", "1.4 s at ", "disconnected",
		"Stored after 148 ms: Zoom and delivery 144 ms, storage 4 ms.", "52\u202f310", "led by zoomstream-0",
	} {
		if !strings.Contains(card, text) {
			t.Errorf("the card does not say %q:\n%s", text, card)
		}
	}
	for selector, texts := range map[string][]string{
		"#moments":           {"meetings\nhandover: zoomstream-1 → zoomstream-0", "meetings\ngap: 1.4 s, disconnected"},
		"#where":             {"zoomstream", "ZOOM", "3"},
		"#replicas tbody tr": {"zoomstream-0", "node-0, pid 7", "ready", "✓ connected", "empty", "v0.5.0", "2 d 4 h ago", "✓ answers"},
		"#events tbody tr":   {"meeting.started", "meetings", "110 ms", "184467", "Weekly planning", "v=2.0;clid=us02"},
	} {
		got := b.Text(selector)
		for _, text := range texts {
			if !strings.Contains(got, text) {
				t.Errorf("%s does not say %q but %q", selector, text, got)
			}
		}
	}
	b.Clean()
}

func TestUpdatesLive(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#verdict-text", "Connected")
	late := 0.2
	w.change(func(w *world) {
		w.events = append([]page.Event{{Seq: 200_000, Event: "phone.callee_ringing", Subscription: "meetings", At: time.Now(), LateSeconds: &late, ID: "new"}}, w.events...)
		w.overview.Subscriptions[0].Events = 99_999
		w.overview.Subscriptions[0].InFlight = 17
	})
	b.Says("#events tbody tr", "phone.callee_ringing")
	b.Says(".card .counters", "99\u202f999")
	b.Says(".card .facts", "17")
	if n := browsertest.Eval[int](b, `document.querySelectorAll("#events tbody tr").length`); n != 25 {
		t.Errorf("%d events, want 25", n)
	}
	w.change(func(w *world) {
		trouble(w)
		w.overview.Subscriptions[0].State, w.overview.Subscriptions[0].Trouble = "disconnected", "Zoom refuses"
	})
	b.Says("#verdict-text", "1 subscription not connected, 1 alarm")
	b.Says("#alarms", "late: meetings")
	b.Says(".card", "Zoom refuses")
	b.Says(".said", "Zoom sends events 2 h 3 min late; delivery adds less than 1 s, storage 4 ms.")
	b.Until(`/! (4[89]|5\d) s ago/.test(document.getElementById("replicas").textContent)`)
	b.Says("#replicas", "no stream takes the subject")
	if title := browsertest.Eval[string](b, "document.title"); !strings.HasPrefix(title, "✕") {
		t.Errorf("the title is %q", title)
	}
	b.Clean()
}

// TestPlotsGoOn: the plots continue with the server's latest samples or, without any, with the
// counters.
func TestPlotsGoOn(t *testing.T) {
	t.Parallel()
	w := demo(2)
	w.overview.Subscriptions[1].History = nil
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, err := inner(ctx, history)
		if !history {
			o.Subscriptions[0].History = []status.Sample{{At: time.Now(), Rate: 77, P50: 1, P99: 2}}
		}
		o.Subscriptions[1].Events += uint64(10 * time.Now().Unix()) // ten a second
		return o, err
	}
	b := chromium.Open(t, 1280, 900, false)
	b.See(serveSource(t, source, "0").url)
	importModel(b)
	b.Until(`model.history("meetings").rate.at(-1) === 77 && model.history("meetings").t.length > 181`)
	b.Until(`model.history("webinars").t.length >= 1 && Math.abs(model.history("webinars").rate[0] - 10) < 3 && model.history("webinars").p99[0] === 0.61`)
	b.Clean()
}

func TestShowsHandover(t *testing.T) {
	t.Parallel()
	w := demo(1)
	w.moments = nil // the page notices it by itself
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says(".card .facts", "zoomstream-0, for")
	marks := `document.querySelectorAll(".card .sign.g-leader").length`
	before := browsertest.Eval[int](b, marks)
	w.change(func(w *world) {
		l := &w.overview.Subscriptions[0]
		l.Leader, l.From, l.Standbys, l.Epoch = "zoomstream-1", "zoomstream-1", []string{"zoomstream-2"}, 4720
		l.Since, l.StateSince = time.Now(), time.Now()
	})
	b.Says(".card .facts", "zoomstream-1, for")
	b.Says("#moments", "new leader: zoomstream-0 → zoomstream-1") // the reason is not known yet
	b.Until(marks + " === " + string(rune('0'+before+1)))
	b.Says(".card .strip", "new leader: zoomstream-0 → zoomstream-1")
	b.Clean()
}

func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	script := `<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>`
	hostile := script + "\u202egnp.exe\u2066\x00\r\n\x1b[31m" + strings.Repeat("W", 40_000) + "\xff\xfe"
	w := demo(1)
	late := 1.0
	w.change(func(w *world) {
		w.events = []page.Event{
			{Seq: 1, Subject: hostile, Event: hostile, Subscription: hostile, ID: hostile, Topic: hostile, At: time.Now(), LateSeconds: &late},
			{Seq: 2, Malformed: true, Reason: hostile, At: time.Now()},
		}
		w.moments = []page.Moment{{At: time.Now().Add(-time.Minute), Kind: page.KindAlarm, Subscription: "meetings", Name: hostile, Detail: hostile},
			{At: time.Now().Add(-time.Minute), Kind: page.Kind(hostile), Subscription: "meetings", Detail: hostile}}
		l := &w.overview.Subscriptions[0]
		l.Trouble, l.Leader, l.Standbys = hostile, hostile, []string{hostile}
		l.LastGap.Cause = hostile
		w.overview.Alarms = []status.Alarm{{Alarm: hostile, Replica: hostile, Since: time.Now(), Detail: hostile}}
		w.overview.Bucket, w.overview.Stream = hostile, hostile
		r := &w.overview.Replicas[0]
		r.Replica, r.Host, r.Version, r.Outbox.Trouble, r.Outbox.Server = hostile, hostile, hostile, hostile, hostile
		w.overview.Subscriptions = append(w.overview.Subscriptions, line(hostile, "zoomstream-1", nil, time.Now(), 1))
	})
	for _, width := range []int64{360, 1280} {
		b := chromium.Open(t, width, 900, false)
		b.See(serve(t, w, "0").url)
		for _, selector := range []string{"#events", "#alarms", "#replicas", ".card", ".card:nth-child(2) h3", "#moments", ".card .strip", "#where"} {
			b.Says(selector, `<img src=x onerror="window.hit=1">`)
		}
		if browsertest.Eval[bool](b, "window.hit === 1") || browsertest.Eval[int](b, `document.querySelectorAll("main img, main script").length`) != 0 {
			t.Error("a text has become markup")
		}
		if browsertest.Eval[bool](b, `/[\u202a-\u202e\u2066-\u2069\u0000\u001b]/.test(document.documentElement.textContent)`) {
			t.Error("what reorders or hides text is in the page")
		}
		if n := browsertest.Eval[int](b, `Math.max(...[...document.querySelectorAll("td, dd, li, p, h3")].map(e => e.textContent.length))`); n > 2000 {
			t.Errorf("a text of %d characters", n)
		}
		fits(t, b)
		b.Clean()
	}
}

// fits fails the test if the page is wider than its window.
func fits(t testing.TB, b *browsertest.Browser) {
	t.Helper()
	wide, window := browsertest.Eval[int](b, "document.documentElement.scrollWidth"), browsertest.Eval[int](b, "window.innerWidth")
	if wide > window {
		t.Errorf("the page is %d wide, its window %d", wide, window)
	}
}

func TestFitsAPhone(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{1, 40} {
		w := demo(lines)
		trouble(w)
		b := chromium.Open(t, 360, 740, false)
		b.See(serve(t, w, "0").url)
		b.Until(`document.querySelectorAll(".card canvas").length >= 2`)
		fits(t, b)
		if n := browsertest.Eval[int](b, `[...document.querySelectorAll(".card *, .data td, .verdict *")].filter(e => e.getBoundingClientRect().right > 361 && !e.closest(".unseen")).length`); n != 0 {
			t.Errorf("%d elements reach out of the window", n)
		}
		b.Clean()
	}
}

func TestManySubscriptions(t *testing.T) {
	w := demo(500)
	w.overview.Subscriptions[321].State = "disconnected"
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Until(`document.querySelectorAll("#lines tbody tr").length === 500 && document.querySelectorAll(".card").length === 1`)
	first := w.overview.Subscriptions[321].Subscription.Subscription
	b.Says("#lines tbody tr", first) // trouble comes first, and is open
	b.Says(".card h3", first)
	browsertest.Eval[bool](b, `document.querySelectorAll("#lines .open")[7].click() ?? true`)
	b.Until(`document.querySelectorAll(".card").length === 2`)
	browsertest.Eval[bool](b, `document.querySelector(".card .close").click() ?? true`)
	b.Until(`document.querySelectorAll(".card").length === 1`)
	filter := func(text string) {
		browsertest.Eval[bool](b, `(() => { const f = document.getElementById("filter"); f.value = "`+text+`"; return f.dispatchEvent(new Event("input")); })()`)
	}
	filter("webinars-02")
	b.Until(`document.querySelectorAll("#lines tbody tr").length === 1`)
	filter("nothing like it")
	b.Until(`document.querySelectorAll("#lines tbody tr").length === 0 && !document.getElementById("none-match").hidden`)
	filter("")
	browsertest.Eval[bool](b, `document.getElementById("troubled").click() ?? true`)
	b.Until(`document.querySelectorAll("#lines tbody tr").length === 1`)
	// An update must leave the browser time for its user.
	took := browsertest.Eval[float64](b, `(() => { const e = new Event("input"); document.getElementById("troubled").checked = false; document.getElementById("filter").dispatchEvent(e);
		const from = performance.now(); document.getElementById("filter").dispatchEvent(e); return performance.now() - from; })()`)
	t.Logf("an update takes %.0f ms", took)
	if took > 500 {
		t.Errorf("an update of 500 rows takes %.0f ms", took)
	}
	b.Clean()
}

func TestSwitchesTo24Hours(t *testing.T) {
	t.Parallel()
	w := demo(1)
	w.moments = append(w.moments, page.Moment{At: time.Now().Add(-5 * time.Hour), Kind: page.KindLeader, Subscription: "meetings", Replica: "zoomstream-0", Previous: "long-ago"})
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#moments", "handover")
	if strings.Contains(b.Text("#moments"), "long-ago") {
		t.Error("what was five hours ago is in the last 15 minutes")
	}
	browsertest.Eval[bool](b, `document.getElementById("win-24h").click() ?? true`)
	b.Says("#moments", "long-ago")
	b.Says(".card .strip", "long-ago")
	b.Clean()
}

func TestContrastInLightAndDark(t *testing.T) {
	t.Parallel()
	// The contrast of each text with its background, by WCAG 2: AA requires 4.5.
	const worst = `(() => {
		const parse = (c) => { const p = c.match(/[\d.]+/g).map(Number); return { rgb: p.slice(0, 3), a: p[3] ?? 1 }; };
		const luminance = (rgb) => rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
		const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a === 1) return c.rgb; } return [255, 255, 255]; };
		let worst = { ratio: 99 };
		for (const e of document.querySelectorAll("body *")) {
			if (e.closest("svg, noscript, .unseen") || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
			const a = luminance(parse(getComputedStyle(e).color).rgb), b = luminance(behind(e));
			const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
			if (ratio < worst.ratio) worst = { ratio, text: e.textContent.slice(0, 40), in: e.className || e.tagName };
		}
		return JSON.stringify(worst);
	})()`
	pages := map[bool]string{}
	for _, dark := range []bool{false, true} {
		w := demo(5)
		trouble(w)
		b := chromium.Open(t, 1280, 900, dark)
		b.See(serve(t, w, "0").url)
		b.Says("#verdict-text", "alarm")
		b.Until(`document.querySelectorAll(".card canvas").length >= 2`)
		open(b, 0)
		b.Says("#events .opened pre", "account_id")
		unfold(b)
		if browsertest.Eval[float64](b, "JSON.parse("+worst+").ratio") < 4.5 {
			t.Errorf("dark=%v: the worst contrast is %s", dark, browsertest.Eval[string](b, worst))
		}
		pages[dark] = browsertest.Eval[string](b, "getComputedStyle(document.body).backgroundColor")
		b.Clean()
	}
	if pages[false] == pages[true] {
		t.Error("dark is as light: " + pages[true])
	}
}

func TestPlotsFollowTheColourScheme(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, demo(1), "0").url)
	drawn := func(rgb string) string {
		return `[...document.querySelectorAll(".card canvas")].every(c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
			for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && [d[i], d[i + 1], d[i + 2]].join() === "` + rgb + `") return true; return false; })
			&& document.querySelectorAll(".card canvas").length === 2`
	}
	b.Until(drawn("11,92,173"))
	b.Run(browsertest.Colours("dark"))
	b.Until(drawn("108,178,255"))
	// Only a warning about this reading is allowed.
	for _, wrong := range b.Wrongs() {
		if !strings.Contains(wrong, "getImageData") {
			t.Error("in the browser:", wrong)
		}
	}
}

func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1280, 900, false)
	first := serve(t, w, "0")
	b.See(first.url)
	b.Says("#verdict-text", "Connected")

	w.change(func(w *world) { w.away = errAway })
	b.Says("#verdict-text", "NATS does not answer")
	b.Says("#errors", errAway.Error())
	b.Says(".card", "meetings") // what is known stays
	w.change(func(w *world) { w.away = nil })
	b.Says("#verdict-text", "Connected")
	b.Until(`document.querySelectorAll("#errors li").length === 0`)
	b.Clean()

	first.stop()
	b.Says("#verdict-text", "No answer")
	b.Until(`document.body.classList.contains("stale") && !document.getElementById("banner").hidden`)
	b.Until(`[".figures", ".card", "#moments", "#events"].every((s) => +getComputedStyle(document.querySelector(s).closest("section, .figures")).opacity < 0.7)`) // what is old is faded
	b.Says("#banner", "old")
	b.Says(".card", "meetings")
	w.change(func(w *world) { w.overview.Subscriptions[0].InFlight = 23 })
	serve(t, w, first.port)
	b.Says("#verdict-text", "Connected")
	b.Until(`!document.body.classList.contains("stale") && document.getElementById("banner").hidden`)
	b.Says(".card .facts", "23")
	// The browser may log that the server was away.
	for _, wrong := range b.Wrongs() {
		if !strings.Contains(wrong, "ERR_CONNECTION_REFUSED") && !strings.Contains(wrong, "ERR_INCOMPLETE_CHUNKED_ENCODING") {
			t.Error("in the browser:", wrong)
		}
	}
}

func TestConnectsAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1280, 900, false)
	s := serve(t, w, "0")
	for range 100 {
		defer watch(t, s.url).Body.Close()
	}
	b.Run(chromedp.Navigate(s.url))
	b.Says("#verdict-text", "No answer") // 503: an EventSource does not retry
	s.stop()
	serve(t, w, s.port)
	from := time.Now()
	b.Says("#verdict-text", "Connected")
	if took := time.Since(from); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
