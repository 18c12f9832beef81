//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// focused is the id or the text of what has the focus.
const focused = `((e) => e.id || e.getAttribute("aria-label") || e.innerText.trim().replace(/\s+/g, " "))(document.activeElement)`

func behind(w *world) {
	w.overview.Consumers = &status.Consumers{At: time.Now(), Durable: []status.Consumer{{Name: "billing", Pending: 4711, Sequence: 21, Oldest: 594_000, LosesIn: 10_800, LosesBy: status.LimitAge}}}
}

// TestByKeyboard does everything that the page offers without a mouse.
func TestByKeyboard(t *testing.T) {
	t.Parallel()
	w := demo(5)
	trouble(w)
	behind(w)
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	b.Until(`document.querySelectorAll(".card canvas").length === 2`)

	// Tab reaches each control, and the focus is visible.
	var order []string
	for range 80 {
		b.Press(kb.Tab)
		at := browsertest.Eval[string](b, focused)
		if browsertest.Eval[bool](b, `document.activeElement === document.body`) {
			break
		}
		order = append(order, at)
		if !browsertest.Eval[bool](b, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; })()`) {
			t.Errorf("at %q nobody sees where the focus is", at)
		}
	}
	for _, want := range []string{
		"What to do: late, in the runbook", "What to do: not-connected, in the runbook", "filter", "troubled", "win-15m", "win-24h", "lines", "webinars", "Close webinars",
		"Lease, counters, and lateness hop by hop", "search-what", "search-since", "Search", "events", "meeting.started", "recording.completed", "Consumers ! 1 consumer · billing loses events in 3 h", "Replicas ! 2 of 3 answer",
	} {
		if !slices.ContainsFunc(order, func(at string) bool { return strings.HasPrefix(at, want) }) {
			t.Errorf("Tab does not come to %q: %q", want, order)
		}
	}

	to := func(selector string) {
		browsertest.Eval[bool](b, fmt.Sprintf("document.querySelector(%q).focus() ?? true", selector))
	}
	// Enter and Space open and close a subscription, a section and an event.
	for _, key := range []string{kb.Enter, " "} {
		to("#lines tr:nth-child(3) .open")
		b.Press(key)
		b.Until(`document.querySelectorAll(".card").length === 2 && document.querySelectorAll("#lines .open")[2].ariaExpanded === "true"`)
		to(".card:nth-child(2) .close")
		b.Press(key)
		b.Until(`document.querySelectorAll(".card").length === 1 && document.activeElement === document.querySelectorAll("#lines .open")[2]`)
		to("details:has(#replicas) > summary")
		b.Press(key)
		b.Until(`document.querySelector("details:has(#replicas)").open`)
		b.Press(key)
		b.Until(`!document.querySelector("details:has(#replicas)").open`)
		to("#events .open")
		b.Press(key)
		b.Until(`document.querySelector("#events .opened pre") !== null`)
		for range 3 { // into the event: its buttons, and its body, which may need scrolling
			b.Press(kb.Tab)
		}
		b.Until(focused + ` === "Body of the event"`)
		b.Press(kb.Escape)
		b.Until(`document.querySelector("#events .opened") === null && document.activeElement === document.querySelector("#events .open")`)
	}
	to("#win-24h")
	b.Press(" ")
	b.Until(`document.getElementById("win-24h").ariaPressed === "true"`)
	to("#troubled")
	b.Press(" ")
	b.Until(`document.querySelectorAll("#lines tbody tr").length < 5`)

	// A slash leads to the search, but is a letter while one types.
	b.Press("/")
	b.Until(focused + ` === "search-what"`)
	b.Press("meeting.ended/")
	b.Until(`document.getElementById("search-what").value === "meeting.ended/"`)
	b.Press(kb.Backspace + kb.Enter)
	b.Says("#search-said", "4 events found")
	b.Press(kb.Escape)
	b.Until(`document.getElementById("search-what").value === "" && document.getElementById("search-said").textContent === "" && document.querySelectorAll("#events tbody tr").length === 24 && ` + focused + ` === "search-what"`)
	b.Clean()
}

// TestNames: all controls, pictures and tables have names, also for people who do not see the page.
// Headings are in order.
func TestNames(t *testing.T) {
	t.Parallel()
	w := demo(5)
	trouble(w)
	behind(w)
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	b.Until(`document.querySelectorAll(".card canvas").length === 2`)
	open(b, 0)
	b.Says("#events .opened pre", "account_id")
	search(b, "meeting.started")
	b.Until(`!document.getElementById("search-end").hidden`)
	unfold(b)
	seen := map[string]int{}
	for _, control := range b.Controls() {
		seen[control.Role]++
		if strings.TrimSpace(control.Name) == "" || control.Name == "×" {
			t.Errorf("a %s is called %q", control.Role, control.Name)
		}
	}
	for _, role := range []string{"button", "link", "checkbox", "searchbox", "combobox", "DisclosureTriangle", "region", "table", "image", "search"} {
		if seen[role] == 0 {
			t.Errorf("no %s is among what a screen reader tells of: %v", role, seen)
		}
	}
	levels := browsertest.Eval[[]int](b, `[...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter((h) => h.checkVisibility()).map((h) => +h.tagName[1])`)
	if len(levels) < 9 || levels[0] != 1 {
		t.Errorf("the headings are of the levels %v", levels)
	}
	for i, level := range levels {
		if i > 0 && level > levels[i-1]+1 {
			t.Errorf("the headings are of the levels %v", levels)
			break
		}
	}
	if n := browsertest.Eval[int](b, `[...document.querySelectorAll("table")].filter((t) => !t.caption?.textContent.trim() || [...t.tHead.querySelectorAll("th")].some((h) => h.scope !== "col")).length`); n != 0 {
		t.Errorf("%d tables without a caption, or with headings of nothing", n)
	}
	if n := browsertest.Eval[int](b, `document.querySelectorAll("[id]").length - new Set([...document.querySelectorAll("[id]")].map((e) => e.id)).size`); n != 0 {
		t.Errorf("%d ids are there twice", n)
	}
	b.Clean()
}

// TestNothingIsReadAloudAgainAndAgain: while nothing happens, the texts that a screen reader
// announces do not change. A change of the verdict does change them.
func TestNothingIsReadAloudAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := demo(1)
	source := w.source()
	inner := source.Overview
	n := 0
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, err := inner(ctx, history)
		if o != nil {
			n++
			l := &o.Subscriptions[0]
			l.Events, l.Rate, l.InFlight, l.Late.P99 = uint64(n), float64(n), n, float64(n)/100
			o.Replicas[0].Outbox.Kept = fmt.Sprintf("nothing is lost: %d events are kept on disk", n)
		}
		return o, err
	}
	b := chromium.Open(t, 1440, 900, false)
	first := serveSource(t, source, "0")
	b.See(first.url)
	b.Says("#verdict-kept", "kept on disk")
	browsertest.Eval[bool](b, `(() => {
		window.told = [];
		new MutationObserver((all) => all.forEach((m) => { if (m.target.parentElement?.closest("[aria-live], [role=status], [role=alert]") ?? m.target.closest?.("[aria-live], [role=status], [role=alert]")) told.push(m.target.textContent); }))
			.observe(document.body, { subtree: true, childList: true, characterData: true });
		return true; })()`)
	began := browsertest.Eval[string](b, `document.getElementById("verdict-more").textContent`)
	b.Until(`document.getElementById("verdict-kept").textContent.match(/\d+ events/)[0] !== "` + "1 events" + `" && document.getElementById("verdict-more").textContent !== ` + browsertest.Quote(began))
	time.Sleep(2500 * time.Millisecond) // two messages, and some more time
	if told := browsertest.Eval[[]string](b, "told"); len(told) != 0 {
		t.Errorf("%q is read aloud though nothing happens", told)
	}
	first.stop()
	b.Says("#banner-age", "old.")
	time.Sleep(2500 * time.Millisecond)
	told := browsertest.Eval[[]string](b, "told")
	slices.Sort(told)
	if told = slices.Compact(told); !slices.Equal(told, []string{"No answer", "No connection to this page’s zoomstream; trying again."}) {
		t.Errorf("without a connection %q is read aloud", told)
	}
	if again := browsertest.Eval[int](b, "told.length"); again > 2 {
		t.Errorf("it is read aloud %d times", again)
	}
}
