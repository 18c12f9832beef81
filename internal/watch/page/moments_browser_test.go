//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// TestKindsAreToldApart: what happened to a leadership can be told apart by shape, colour and word:
// in the strip, in its legend and in the list.
func TestKindsAreToldApart(t *testing.T) {
	t.Parallel()
	w := demo(1)
	changes(w)
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#moments", "handover")
	lacks(t, b, "#moments", "renewal")
	w.change(func(w *world) {
		w.overview.Subscriptions[0].Connection, w.overview.Subscriptions[0].StateSince = 2, time.Now()
	})
	b.Says("#moments", "renewal: by zoomstream-0: a new connection, without a gap")

	words := map[string]string{"handover": "handover", "rebalance": "rebalance", "crash": "crash", "leader": "new leader", "renewed": "renewal", "alarm": "alarm", "malformed": "malformed frame"}
	looks := map[string]string{}
	for sign, word := range words {
		look := browsertest.Eval[string](b, fmt.Sprintf(`(() => { const s = document.querySelector(".card .strip .sign.g-%s"), c = getComputedStyle(s); return s.getAttribute("d") + " " + c.fill + " " + c.stroke; })()`, sign))
		for other, its := range looks {
			if its == look || strings.Split(its, " rgb")[0] == strings.Split(look, " rgb")[0] && sign != "leader" && other != "leader" { // like a handover, but hollow
				t.Errorf("%s looks like %s: %s", sign, other, look)
			}
		}
		looks[sign] = look
		b.Says(fmt.Sprintf(".card .strip .sign.g-%s title", sign), word)
		b.Says(fmt.Sprintf("#legend > :has(.g-%s)", sign), word)
		b.Says(fmt.Sprintf("#moments [data-kind=%s] b", sign), word)
		b.Until(fmt.Sprintf(`document.querySelector("#moments [data-kind=%s] .sign.g-%s") !== null`, sign, sign))
	}
	// The strip itself has the words for changes of the leadership.
	b.Until(`["handover", "rebalance", "crash", "new leader", "renewal"].every((w) => [...document.querySelectorAll(".card .strip .s-text")].some((t) => t.textContent === w))`)
	overlap := browsertest.Eval[bool](b, `(() => { const boxes = [...document.querySelectorAll(".card .strip .s-text:not([data-utc])")].map((t) => t.getBoundingClientRect()).sort((a, b) => a.left - b.left);
		return boxes.some((box, i) => i && box.left < boxes[i - 1].right) || boxes.some((box) => box.right > document.querySelector(".card .strip").getBoundingClientRect().right); })()`)
	if overlap {
		t.Error("the words lie over each other, or reach out of the strip")
	}
	b.Clean()
}

// TestAReconnectionIsNoRenewal: neither a connection after a gap nor a leader's first one is a
// renewal.
func TestAReconnectionIsNoRenewal(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1440, 900, false)
	l := &w.overview.Subscriptions[0]
	l.Connection, l.StateSince = 7, l.LastGap.To
	b.See(serve(t, w, "0").url)
	b.Says("#moments", "gap")
	w.change(func(w *world) {
		l := &w.overview.Subscriptions[0]
		gap := *l.LastGap
		gap.From, gap.To = time.Now().Add(-time.Second), time.Now()
		l.LastGap, l.StateSince, l.Connection = &gap, gap.To, 8
	})
	b.Until(`document.querySelectorAll("#moments [data-kind=gap]").length === 2`)
	w.change(func(w *world) {
		l := &w.overview.Subscriptions[0]
		l.Leader, l.LeaderNonce, l.Since, l.StateSince, l.Connection = "zoomstream-1", "n-zoomstream-1", time.Now(), time.Now(), 1
	})
	b.Says("#moments", "new leader: zoomstream-0 → zoomstream-1")
	lacks(t, b, "#moments", "renewal", "connected: by")
	b.Clean()
}

// TestOneListOfWhatHappened: one list has everything that happened, of all subscriptions, newest
// first.
func TestOneListOfWhatHappened(t *testing.T) {
	t.Parallel()
	w := demo(3)
	w.moments = nil
	for i := range 80 {
		name := w.overview.Subscriptions[i%3].Subscription.Subscription
		at := time.Now().Add(-time.Duration(10*i) * time.Second)
		kind := []page.Kind{page.KindGap, page.KindAlarm, page.KindCleared, page.KindMalformed}[i%4]
		w.moments = append([]page.Moment{{At: at, Until: at.Add(time.Second), Kind: kind, Subscription: name, Name: "late", Detail: fmt.Sprintf("number %d", i)}}, w.moments...)
	}
	w.moments = append(w.moments, page.Moment{At: time.Now().Add(-time.Hour), Kind: page.KindAlarm, Name: "token", Replica: "zoomstream-1", Detail: "an hour ago"})
	for i := range w.overview.Subscriptions {
		l := &w.overview.Subscriptions[i]
		l.LastGap, l.Since, l.StateSince = nil, time.Now().Add(-50*time.Hour), time.Now().Add(-50*time.Hour)
	}
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	const texts = `[...document.querySelectorAll("#moments li")].map((l) => l.innerText.replace(/\s+/g, " "))`
	got := browsertest.Eval[[]string](b, texts)
	if len(got) != 12 {
		t.Fatalf("%d moments are shown: %q", len(got), got)
	}
	for i, want := range []string{"meetings gap: 1 s, late, number 0", "webinars alarm: late: number 1 what to do", "phone alarm cleared: late", "meetings malformed frame: number 3"} {
		if !strings.HasSuffix(got[i], want) {
			t.Errorf("moment %d is %q, want %q", i, got[i], want)
		}
	}
	b.Says("#moments-more", "Show 50 of 68 earlier ones")
	browsertest.Eval[bool](b, `document.getElementById("moments-more").click() ?? true`)
	b.Until(`document.querySelectorAll("#moments li").length === 62`)
	b.Says("#moments-more", "Show 18 of 18 earlier ones")
	browsertest.Eval[bool](b, `document.getElementById("moments-more").click() ?? true`)
	b.Until(`document.querySelectorAll("#moments li").length === 80 && document.getElementById("moments-more").hidden`)
	if !browsertest.Eval[bool](b, `document.activeElement.closest("#moments li") === document.querySelectorAll("#moments li")[62]`) {
		t.Error("the focus is not on the first of those that were shown last")
	}
	if sorted := browsertest.Eval[bool](b, `[...document.querySelectorAll("#moments time")].every((t, i, all) => !i || t.title <= all[i - 1].title)`); !sorted {
		t.Error("they are not newest first")
	}
	browsertest.Eval[bool](b, `document.getElementById("win-24h").click() ?? true`)
	b.Says("#moments li:last-child", "alarm: token: an hour ago")
	b.Clean()
}

// TestWhatIsOpenedStaysOpen: what a viewer has opened stays open while the page updates, and when a
// card comes back.
func TestWhatIsOpenedStaysOpen(t *testing.T) {
	t.Parallel()
	w := demo(5)
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Until(`document.querySelectorAll(".card details").length === 1`)
	if browsertest.Eval[bool](b, `[...document.querySelectorAll("details")].some((d) => d.open)`) {
		t.Error("something is open from the beginning")
	}
	browsertest.Eval[bool](b, `document.querySelectorAll("details:not([hidden]) > summary").forEach((s) => s.click()) ?? true`)
	w.change(func(w *world) { w.overview.Subscriptions[0].InFlight = 4711 })
	b.Says(".card .facts", "4\u202f711")
	w.change(func(w *world) { w.overview.Replicas[0].Version = "v9" })
	b.Says("#replicas", "v9")
	const open = `document.querySelector(".card details").open && document.querySelector("details:has(#replicas)").open`
	b.Until(open)
	for range 2 { // closes it, and opens it again
		browsertest.Eval[bool](b, `document.querySelector("#lines .open").click() ?? true`)
	}
	b.Until(open)
	b.Clean()
}
