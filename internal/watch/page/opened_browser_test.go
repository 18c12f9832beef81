//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/guard"
	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// open clicks on the n-th event, counted from 0.
func open(b *browsertest.Browser, n int) {
	browsertest.Eval[bool](b, fmt.Sprintf(`document.querySelectorAll("#events .open")[%d].click() ?? true`, n))
}

func TestAnEventCanBeOpened(t *testing.T) {
	t.Parallel()
	for _, width := range []int64{390, 1440} {
		w := demo(1)
		b := chromium.Open(t, width, 900, false)
		b.See(serve(t, w, "0").url)
		open(b, 1)
		b.Says("#events .opened pre", "\n  \"event\": \"meeting.participant_joined\",\n")
		b.Says("#events .opened .headers", "Zoom-Object-Id86017254931")
		b.Says("#events .opened code", "nats stream get ZOOM 184466")
		if !browsertest.Eval[bool](b, `document.querySelectorAll("#events .open")[1].ariaExpanded === "true" && document.querySelectorAll("#events tr")[3].id === document.querySelectorAll("#events .open")[1].getAttribute("aria-controls")`) {
			t.Error("a screen reader does not learn what is open")
		}
		fits(t, b)
		// It stays while events come, even when it is no longer among the latest.
		w.change(func(w *world) {
			for i := range 30 {
				w.events = append([]page.Event{{Seq: uint64(200_000 + i), Event: "user.created", Subscription: "meetings", At: time.Now(), ID: fmt.Sprint("new", i)}}, w.events...)
			}
			w.events = w.events[:20]
		})
		b.Says("#events .open", "user.created")
		b.Until(`document.querySelectorAll("#events .open").length === 21 && document.querySelector("#events tbody").lastElementChild.querySelector(".opened pre") !== null`)
		open(b, 20)
		b.Until(`document.querySelector("#events .opened") === null`)
		b.Clean()
	}
}

// TestAStreamMadeAnew: in a new stream, a sequence number belongs to another event.
func TestAStreamMadeAnew(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	open(b, 0)
	b.Says("#events .opened pre", "meeting.started")
	w.change(func(w *world) {
		w.events = []page.Event{{Seq: w.events[0].Seq, Event: "user.created", Subscription: "meetings", At: time.Now(), ID: "new"}, w.events[1]}
	})
	b.Until(`document.querySelector("#events .open").textContent === "user.created" && document.querySelectorAll("#events .open").length === 2 && document.querySelector("#events .opened") === null`)
	b.Clean()
}

// TestAHostileBodyStaysText: bodies and headers are shown as text and in full, up to a bound.
func TestAHostileBodyStaysText(t *testing.T) {
	t.Parallel()
	script := `<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>`
	w := demo(1)
	w.body = script + "\u202egnp.exe\u2066\x00\x1b[31m\n" + strings.Repeat("W", 100_000) + "the end"
	w.events[0].ID, w.events[0].Subject = script+"\u202e", script+strings.Repeat("s", 500)+"the end of it"
	b := chromium.Open(t, 390, 900, false)
	b.See(serve(t, w, "0").url)
	open(b, 0)
	b.Says("#events .opened pre", script)
	b.Says("#events .opened pre", "Wthe end")
	b.Says("#events .opened .headers", "the end of it")
	if browsertest.Eval[bool](b, "window.hit === 1") || browsertest.Eval[int](b, `document.querySelectorAll("main img, main script").length`) != 0 {
		t.Error("a text has become markup")
	}
	if browsertest.Eval[bool](b, `/[\u202a-\u202e\u2066-\u2069\u0000\u001b]/.test(document.documentElement.textContent)`) {
		t.Error("what reorders or hides text is in the page")
	}
	fits(t, b)
	w.change(func(w *world) { w.body = strings.Repeat("W", 300_000) })
	open(b, 0)
	open(b, 1)
	b.Says("#events .opened", "The end is left out: the body has 300000 bytes.")
	b.Clean()
}

// TestRefusedLookups: who may not see a body, or search, is told why, and which command does it.
func TestRefusedLookups(t *testing.T) {
	t.Parallel()
	w := demo(1)
	source := w.source()
	b := chromium.Open(t, 1440, 900, false)
	refuse := func(*http.Request) error { return errors.New("whole events are shown on a loopback address only") }
	b.See(serveHandler(t, source, "0", func(p http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", p)
		mux.Handle("/event/", guard.Handler(p, refuse))
		mux.Handle("/search", guard.Handler(p, refuse))
		return mux
	}).url)
	open(b, 0)
	b.Says("#events .opened", "Not shown here: whole events are shown on a loopback address only. The command above shows it to whoever may read the stream.")
	b.Says("#events .opened code", "nats stream get ZOOM 184467")
	lacks(t, b, "#events .opened", "jill@example.com")
	search(b, "it's")
	b.Says("#search-said", "Not searched: whole events are shown on a loopback address only. In a terminal:")
	b.Says("#search-command", `zoomstream find --since 24h -- 'it'\''s'`)
	long := "-" + strings.Repeat("x", 400)
	search(b, long)
	b.Says("#search-command", "zoomstream find --since 24h -- '"+long+"'")
	fits(t, b)
	for _, wrong := range b.Wrongs() {
		if !strings.Contains(wrong, "403") {
			t.Error("in the browser:", wrong)
		}
	}
}

func search(b *browsertest.Browser, what string) {
	browsertest.Eval[bool](b, fmt.Sprintf(`(() => { document.getElementById("search-what").value = %s; document.getElementById("search").requestSubmit(); return true; })()`, browsertest.Quote(what)))
}

func TestSearching(t *testing.T) {
	t.Parallel()
	w := demo(1)
	two, malformed := w.events[:2], []page.Event{{Seq: 9, Malformed: true, Reason: "no JSON", At: time.Now()}}
	source := w.source()
	inner := source.Search
	ended := make(chan struct{}, 1)
	source.Search = func(ctx context.Context, what string, since time.Time) (*page.Found, error) {
		switch what {
		case "slow":
			<-ctx.Done()
			ended <- struct{}{}
			return nil, ctx.Err()
		case "broken":
			return &page.Found{Events: []page.Event{}, Malformed: malformed, Since: since, Looked: 1}, nil
		case "much":
			return &page.Found{Events: two, Malformed: []page.Event{}, Since: since, Looked: 90_000, LeftOut: 12_345, More: true}, nil
		case "nothing":
			return &page.Found{Events: []page.Event{}, Malformed: []page.Event{}, Since: since, Looked: 7, Gaps: 2}, nil
		}
		return inner(ctx, what, since)
	}
	b := chromium.Open(t, 1440, 900, false)
	b.See(serveSource(t, source, "0").url)
	b.Until(`document.querySelectorAll("#events tbody tr").length === 24 && document.getElementById("search-end").hidden`)
	search(b, "slow")
	b.Says("#search-said", "Searching …")
	search(b, "meeting.ended")
	select {
	case <-ended: // one search at a time: the next one ends it, in the server too
	case <-time.After(5 * time.Second):
		t.Error("a search goes on after the next one has begun")
	}
	b.Says("#search-said", "4 events found since ")
	b.Says("#search-said", "; 184\u202f467 messages looked at.")
	b.Until(`document.querySelectorAll("#events tbody tr").length === 4`)
	b.Says("#events tbody tr", "meeting.ended by Zoom-Event")
	open(b, 0)
	b.Says("#events .opened pre", "account_id") // found events can be opened, too
	// New events do not push found ones away.
	w.change(func(w *world) {
		w.events = append([]page.Event{{Seq: 200_000, Event: "brand-new", Subscription: "meetings", At: time.Now(), ID: "id"}}, w.events...)
		w.overview.Subscriptions[0].InFlight = 4711
	})
	b.Says(".card .facts", "4\u202f711")
	lacks(t, b, "#events", "brand-new")
	for what, said := range map[string]string{
		"broken": "1 event found since ", "much": "2 events found, the newest of more since ", "nothing": "Nothing found since ",
	} {
		search(b, what)
		b.Says("#search-said", said)
	}
	search(b, "much")
	b.Says("#search-said", "; 90\u202f000 messages looked at, 12\u202f345 older ones not.")
	search(b, "broken")
	b.Says("#events tbody tr", "✕ malformed: no JSON")
	search(b, "nothing")
	b.Says("#search-said", "; 2 gaps in that time.")
	b.Until(`document.querySelectorAll("#events tbody tr").length === 0`)
	browsertest.Eval[bool](b, `document.getElementById("search-end").click() ?? true`)
	b.Until(`document.querySelectorAll("#events tbody tr").length === 25 && document.getElementById("search-end").hidden && document.getElementById("search-said").textContent === ""`)
	b.Clean()
}

func TestCopying(t *testing.T) {
	t.Parallel()
	w := demo(1)
	b := chromium.Open(t, 1440, 900, false)
	b.See(serve(t, w, "0").url)
	open(b, 0)
	b.Says("#events .opened pre", "account_id")
	pasted := func(button int) string {
		browsertest.Eval[bool](b, fmt.Sprintf(`document.querySelectorAll("#events .opened button")[%d].focus() ?? true`, button))
		b.Press("\r")
		b.Until(fmt.Sprintf(`document.querySelectorAll("#events .opened button")[%d].textContent === "Copied" && document.activeElement === document.querySelectorAll("#events .opened button")[%d]`, button, button))
		// A place to paste all of it.
		browsertest.Eval[bool](b, `(() => { const field = document.createElement("textarea"); field.id = "pasted"; document.body.append(field); field.focus(); return true; })()`)
		b.Paste()
		b.Until(`document.getElementById("pasted").value !== ""`)
		return browsertest.Eval[string](b, `(() => { const field = document.getElementById("pasted"), text = field.value; field.remove(); return text; })()`)
	}
	if got := pasted(0); got != w.events[0].ID {
		t.Errorf("the message id is %q", got)
	}
	if got := pasted(1); !strings.HasPrefix(got, "zoom.meeting.started\nNats-Msg-Id: "+w.events[0].ID+"\nZoom-Event: meeting.started\n") || !strings.HasSuffix(got, "\n    }\n  }\n}") {
		t.Errorf("the event is %q", got)
	}
	b.Clean()
}
