//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// figures are the four at the top: level, title, value, and the text below it.
const figures = `[...document.querySelectorAll("#figures .figure")].map((f) => [f.dataset.level, ...[...f.children].filter((c) => !c.hidden).map((c) => c.innerText)].join("|"))`

// settle gives a world times that do not change on the page within the seconds that a test takes.
func settle(w *world) *world {
	for i := range w.overview.Subscriptions {
		l := &w.overview.Subscriptions[i]
		l.StateSince, l.LastGap.From, l.LastGap.To = ago(7*time.Minute), ago(11*time.Minute), ago(11*time.Minute)
	}
	return w
}

// ago returns the time a duration ago, and some seconds earlier, so that the minutes do not change
// during the test.
func ago(d time.Duration) time.Time { return time.Now().Add(-d - 20*time.Second) }

// TestFourFigures: the figures cover all subscriptions, and show the worst.
func TestFourFigures(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1440, 900, false)
	for name, c := range map[string]struct {
		subscriptions int
		change        func(w *world)
		want          [4]string
	}{
		"well": {1, func(w *world) {}, [4]string{
			"ok|connected|1 of 1|for 7 min", "none|last gap|11 min ago|1.4 s at TIME, disconnected", "ok|lateness p99, 5 min|610 ms|half of the events within 148 ms", "ok|standbys|2|zoomstream-1, zoomstream-2 would take over",
		}},
		"many": {40, func(w *world) {
			w.overview.Subscriptions[7].StateSince = ago(6 * time.Minute)
			w.overview.Subscriptions[9].LastGap = &status.Gap{From: ago(10 * time.Minute), To: ago(9 * time.Minute), Duration: 60, Cause: "crash"}
			w.overview.Subscriptions[11].Late = status.Quantiles{Count: 9, P50: 0.2, P99: 31}
			w.overview.Subscriptions[13].Standbys = []string{"zoomstream-1"}
		}, [4]string{
			"ok|connected|40 of 40|each for 6 min or longer", "none|last gap|9 min ago|webinars-02: 1 min at TIME, crash, not certain", "warn|lateness p99, 5 min|31 s|recordings-02: half of the events within 200 ms|what to do",
			"ok|standbys|≥ 1|for each; zoomstream-1, zoomstream-2 and 1 more",
		}},
		"trouble": {3, func(w *world) {
			down := &w.overview.Subscriptions[1]
			down.State, down.StateSince, down.Trouble = "disconnected", ago(8*time.Minute), "Zoom refuses"
			w.overview.Subscriptions[0].Late.P50 = 7384
			w.overview.Subscriptions[2].Standbys = nil
		}, [4]string{
			"bad|connected|2 of 3|webinars not connected for 8 min|what to do", "bad|last gap|now|webinars: for 8 min, Zoom refuses|what to do", "warn|lateness p99, 5 min|610 ms|meetings: half of the events within 2 h 3 min|what to do",
			"warn|standbys|none|nobody would take over phone|what to do",
		}},
		"nothing stored": {40, func(w *world) { w.overview.Replicas[1].Outbox.Trouble = "the stream is full" }, [4]string{
			"ok|connected|40 of 40|each for 7 min or longer", "none|last gap|11 min ago|meetings: 1.4 s at TIME, disconnected", "bad|lateness p99, 5 min|–|webinars and 12 more: nothing is stored now|what to do",
			"ok|standbys|2|for each; zoomstream-1, zoomstream-2 and 1 more",
		}},
		"nothing known": {2, func(w *world) {
			for i := range w.overview.Subscriptions {
				l := &w.overview.Subscriptions[i]
				l.LastGap, l.Late = nil, status.Quantiles{}
			}
		}, [4]string{"ok|connected|2 of 2|each for 7 min or longer", "ok|last gap|none|none known", "none|lateness p99, 5 min|–|no event in the last 5 min", "ok|standbys|2|for each; zoomstream-1, zoomstream-2 and 1 more"}},
		"a new leader that knows nothing yet": {1, func(w *world) {
			l := &w.overview.Subscriptions[0]
			l.LastGap, l.Adopting = nil, true
		}, [4]string{
			"ok|connected|1 of 1|for 7 min", "warn|last gap|not known|a new leader has not yet read what came before|what to do", "ok|lateness p99, 5 min|610 ms|half of the events within 148 ms", "ok|standbys|2|zoomstream-1, zoomstream-2 would take over",
		}},
		"a silent leader": {1, func(w *world) { freeze(w, 0) }, [4]string{
			"bad|connected|0 of 1|meetings leader silent, was connected|what to do", "warn|last gap|not known|the last known one 11 min ago, 1.4 s at TIME, disconnected|what to do", "warn|lateness p99, 5 min|not known|no leader answers|what to do", "ok|standbys|2|zoomstream-1, zoomstream-2 would take over",
		}},
		"a silent leader whose last word was that it is not connected": {2, func(w *world) {
			freeze(w, 0)
			w.overview.Subscriptions[0].State, w.overview.Subscriptions[0].StateSince = "disconnected", ago(8*time.Minute)
		}, [4]string{
			"bad|connected|1 of 2|meetings leader silent, was not connected|what to do", "bad|last gap|now|meetings: for 8 min|what to do", "warn|lateness p99, 5 min|610 ms|webinars: half of the events within 148 ms; 1 other not known|what to do", "ok|standbys|2|for each; zoomstream-1, zoomstream-2 and 1 more",
		}},
		"no event since a new leader, and a silent one": {2, func(w *world) {
			freeze(w, 0)
			w.overview.Subscriptions[1].Late, w.overview.Subscriptions[1].Since = status.Quantiles{}, ago(2*time.Minute)
		}, [4]string{
			"bad|connected|1 of 2|meetings leader silent, was connected|what to do", "warn|last gap|not known|the last known one 11 min ago, meetings: 1.4 s at TIME, disconnected|what to do",
			"warn|lateness p99, 5 min|–|none since the leader changed; 1 other not known|what to do", "ok|standbys|2|for each; zoomstream-1, zoomstream-2 and 1 more",
		}},
		"nobody leads": {2, func(w *world) {
			freeze(w, 0)
			l := &w.overview.Subscriptions[0]
			l.Leader, l.LeaderNonce, l.LastFrame = "", "", ago(7*time.Minute)
		}, [4]string{
			"bad|connected|1 of 2|meetings no leader|what to do", "bad|last gap|now|meetings: for 7 min, no leader|what to do", "warn|lateness p99, 5 min|610 ms|webinars: half of the events within 148 ms; 1 other not known|what to do", "ok|standbys|2|for each; zoomstream-1, zoomstream-2 and 1 more",
		}},
	} {
		w := settle(demo(c.subscriptions))
		c.change(w)
		b.See(serve(t, w, "0").url)
		b.Until(`document.querySelectorAll("#figures .figure .value").length === 4`)
		got := browsertest.Eval[[]string](b, `(`+figures+`).map((f) => f.replace(/(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d/, "TIME"))`)
		if [4]string(got) != c.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
		fits(t, b)
	}
	// The links lead to the runbook that the page itself serves.
	w := demo(1)
	w.overview.Subscriptions[0].State = "disconnected"
	w.overview.Alarms = []status.Alarm{{Alarm: "late", Subscription: "meetings", Since: time.Now()}, {Alarm: "spool-full", Replica: "zoomstream-0", Since: time.Now()}, {Alarm: "<b>", Replica: "zoomstream-0", Since: time.Now()}}
	w.moments = append(w.moments, page.Moment{Kind: page.KindAlarm, At: time.Now().Add(-time.Minute), Subscription: "meetings", Name: "contested"})
	b.See(serve(t, w, "0").url)
	links := browsertest.Eval[[]string](b, `[...document.querySelectorAll("a.runbook")].filter((a) => a.checkVisibility()).map((a) => [new URL(a.href).pathname, a.target, a.rel, a.ariaLabel].join(" "))`)
	want := []string{
		"/runbook/late _blank noreferrer What to do: late, in the runbook", "/runbook/spool-full _blank noreferrer What to do: spool-full, in the runbook", "/runbook/%3Cb%3E _blank noreferrer What to do: <b>, in the runbook",
		"/runbook/not-connected _blank noreferrer What to do: not-connected, in the runbook", "/runbook/gaps _blank noreferrer What to do: gaps, in the runbook",
		"/runbook/contested _blank noreferrer What to do: contested, in the runbook",
	}
	if len(links) != len(want) {
		t.Fatalf("the links are %q", links)
	}
	for i := range want {
		if links[i] != want[i] {
			t.Errorf("a link is %q, want %q", links[i], want[i])
		}
	}
	b.Clean()
}

// TestFiguresThatAreOld: old figures are shown as of when they were heard, without a judgement.
func TestFiguresThatAreOld(t *testing.T) {
	t.Parallel()
	w := settle(demo(1))
	w.overview.Subscriptions[0].LastGap.To = time.Now().Add(-20 * time.Second)
	b := chromium.Open(t, 1440, 900, false)
	s := serve(t, w, "0")
	b.See(s.url)
	b.Until(`document.querySelector("#figures .figure").dataset.level === "ok"`)
	w.change(func(w *world) { w.away = errAway })
	b.Until(`document.querySelectorAll("#figures [data-level=none]").length === 4`)
	b.Says("#figures", "when last heard: half of the events within 148 ms")
	seen := browsertest.Eval[[]string](b, figures)
	time.Sleep(2 * time.Second)
	if later := browsertest.Eval[[]string](b, figures); !slices.Equal(later, seen) {
		t.Errorf("they go on: %q, after %q", later, seen)
	}
	w.change(func(w *world) { w.away = nil })
	b.Until(`document.querySelector("#figures .figure").dataset.level === "ok"`)
	s.stop() // the page has no connection from now on
	b.Until(`document.querySelectorAll("#figures [data-level=none]").length === 4`)
	b.Says("#figures", "when last heard: for 7 min")
}

// TestFiguresOfOneAlone: a replica that cannot ask the others makes no claims about them.
func TestFiguresOfOneAlone(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1440, 900, false)
	for _, c := range []struct {
		subscriptions, replica int
		want                   [4]string
	}{
		{1, 1, [4]string{"warn|connected|not known|by this replica alone|what to do", "warn|last gap|not known|not all leaders can be asked|what to do", "warn|lateness p99, 5 min|not known|no leader answers|what to do", "ok|standbys|1|zoomstream-1 would take over"}},
		{3, 0, [4]string{"warn|connected|1 of 3|2 others not known|what to do", "warn|last gap|not known|the last known one 11 min ago, meetings: 1.4 s, disconnected|what to do", "bad|lateness p99, 5 min|–|meetings: nothing is stored now|what to do", "warn|standbys|not known|by this replica alone|what to do"}},
	} {
		w := settle(demo(c.subscriptions))
		b.See(serveSource(t, alone(w, c.replica), "0").url)
		b.Says("#figures", "connected")
		got := browsertest.Eval[[]string](b, `(`+figures+`).map((f) => f.replace(/ at (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d/, ""))`)
		if [4]string(got) != c.want {
			t.Errorf("%q, want\n%q", got, c.want)
		}
	}
	b.Clean()
}

// TestKeptIsProminent: what waits for NATS is shown where people look first, in large letters. It
// is not read aloud again with each event.
func TestKeptIsProminent(t *testing.T) {
	t.Parallel()
	w := demo(1)
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, err := inner(ctx, history)
		o.Replicas[0].Outbox.Kept = "nothing is lost: 8 events are kept on disk, 6.5 KiB of 1 GiB"
		return o, err
	}
	b := chromium.Open(t, 390, 844, false)
	b.See(serveSource(t, source, "0").url)
	b.Says("#verdict-kept", "zoomstream-0: nothing is lost: 8 events are kept on disk, 6.5 KiB of 1 GiB")
	if !browsertest.Eval[bool](b, `(() => { const k = document.getElementById("verdict-kept"), s = getComputedStyle(k);
		return parseFloat(s.fontSize) >= 16 && +s.fontWeight >= 600 && k.getBoundingClientRect().bottom < innerHeight && !k.closest("[aria-live], [role=status], [role=alert]"); })()`) {
		t.Error("it is small, out of sight, or read aloud again and again")
	}
	b.Clean()
}
