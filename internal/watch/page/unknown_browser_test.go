//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// freeze has a replica fall silent: only the buckets know about what it leads.
func freeze(w *world, replica int) {
	m := &w.overview.Replicas[replica]
	m.Answered, m.Heard, m.Phase, m.Outbox = false, time.Now().Add(-8*time.Second), "", status.Outbox{}
	for i := range w.overview.Subscriptions {
		l := &w.overview.Subscriptions[i]
		if l.Leader != m.Replica {
			continue
		}
		l.Answered, l.From, l.History = false, "", nil
		l.Subscription = status.Subscription{
			Subscription: l.Subscription.Subscription, Role: status.Leader, Leader: l.Leader, LeaderNonce: l.LeaderNonce, Epoch: l.Epoch, Since: l.Since,
			State: "connected", StateSince: l.StateSince, LastFrame: time.Now().Add(-2 * time.Minute), LastEvent: l.LastEvent, LastGap: l.LastGap,
		}
	}
}

// unused returns a subscription that no replica is set up for.
func unused(name string) status.Line {
	return status.Line{Unused: true, Subscription: status.Subscription{
		Subscription: name, State: "disconnected", StateSince: time.Now().Add(-time.Hour), LastEvent: time.Now().Add(-73 * time.Hour),
	}}
}

// alone returns a source that is cut off from NATS, with only what one replica knows.
func alone(w *world, replica int) page.Source {
	name := w.overview.Replicas[replica].Replica
	w.change(func(w *world) {
		o := &w.overview
		o.Replicas = o.Replicas[replica : replica+1]
		o.Replicas[0].Outbox.NATS = false
		for i := range o.Subscriptions {
			l := &o.Subscriptions[i]
			if l.Leader == name {
				l.Standbys = nil
				continue
			}
			*l = status.Line{From: name, Standbys: []string{name}, Subscription: status.Subscription{
				Subscription: l.Subscription.Subscription, Role: status.Leader, Leader: l.Leader, LeaderNonce: l.LeaderNonce, Epoch: l.Epoch, Since: l.Since,
			}}
		}
	})
	source := w.source()
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, _ := inner(ctx, history)
		return o, errAway
	}
	source.Events = func(context.Context) ([]page.Event, error) { return nil, errAway }
	source.Timeline = func(context.Context) ([]page.Moment, error) { return nil, errAway }
	return source
}

// unfold opens what is folded away. Folded text is not visible, and not in Text.
func unfold(b *browsertest.Browser) {
	browsertest.Eval[bool](b, `document.querySelectorAll("main details").forEach((d) => { d.open = true; }) ?? true`)
}

func lacks(t *testing.T, b *browsertest.Browser, selector string, texts ...string) {
	t.Helper()
	unfold(b)
	got := b.Text(selector)
	for _, text := range texts {
		if strings.Contains(got, text) {
			t.Errorf("%s says %q:\n%s", selector, text, got)
		}
	}
}

func TestASilentLeaderIsNotConnected(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	for _, subscriptions := range []int{3, 21} {
		w := demo(subscriptions)
		freeze(w, 2)
		b.See(serve(t, w, "0").url)
		third := subscriptions / 3
		b.Says("#verdict-text", fmt.Sprintf("%d subscription", third))
		b.Says("#verdict-text", "not connected")
		b.Says("#verdict-more", fmt.Sprintf("%d of %d subscriptions connected", subscriptions-third, subscriptions))
		b.Says("#verdict-more", "2 of 3 replicas answer")
		b.Until(`document.querySelectorAll("[data-level=bad] canvas").length >= 2`)
		for _, text := range []string{"leader silent, was connected", "The leader does not answer; this is what the buckets in NATS show.", "Lateness is not known: the leader does not answer."} {
			b.Says(".card[data-level=bad]", text)
		}
		lacks(t, b, ".card[data-level=bad]", "connected for", "0/s", "No event in the last five minutes", "none known")
		// Nothing is known of the connection since the last sign of life, two minutes ago.
		if share := browsertest.Eval[float64](b, `(() => { const s = document.querySelector(".card[data-level=bad] .strip"), u = [...s.querySelectorAll(".s-up")].at(-1);
			return (+u.getAttribute("x") + +u.getAttribute("width")) / s.viewBox.baseVal.width; })()`); share > 0.9 || share < 0.8 {
			t.Errorf("the band of the connection ends at %.2f of the strip", share)
		}
		if subscriptions > 3 {
			if n := browsertest.Eval[int](b, `document.querySelectorAll("#lines tr[data-level=bad]").length`); n != third {
				t.Errorf("%d lines are bad, want %d", n, third)
			}
			b.Says("#lines tr[data-level=bad]", "leader silent")
		}
	}
	b.Clean()
}

// TestALeaderThatIsAboutToConnect: a replica that has just taken the lease is neither a silent
// leader nor connected yet.
func TestALeaderThatIsAboutToConnect(t *testing.T) {
	t.Parallel()
	w := demo(1)
	l := &w.overview.Subscriptions[0]
	l.Answered, l.From, l.State = false, "", ""
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#verdict-text", "1 subscription not connected")
	b.Says(".card .state", "about to connect")
	b.Says(".card .note", "The leader is about to connect")
	b.Clean()
}

func TestUnusedSubscriptionsAreNoTrouble(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	for _, subscriptions := range []int{2, 5} {
		w := demo(subscriptions)
		w.overview.Subscriptions = append([]status.Line{unused("abandoned")}, w.overview.Subscriptions...)
		b.See(serve(t, w, "0").url)
		b.Says("#verdict-text", "All connected")
		b.Says("#verdict-more", fmt.Sprintf("%d of %d subscriptions connected", subscriptions, subscriptions))
		b.Says("#unused li", "abandoned: no replica is set up for it; last event 3 d 1 h ago")
		lacks(t, b, "#cards", "abandoned")
		lacks(t, b, "#lines", "abandoned")
		fits(t, b)
	}
	b.Clean()
}

// TestWithoutNATSAReplicaKnowsItsOwnOnly: without NATS, a replica knows only about its own
// subscriptions.
func TestWithoutNATSAReplicaKnowsItsOwnOnly(t *testing.T) {
	t.Parallel()
	b := chromium.Open(t, 1280, 900, false)
	for _, c := range []struct {
		subscriptions, replica int
		more                   string
	}{
		{1, 1, "This replica leads none of 1 subscription; whether it is connected is not known."},
		{3, 1, "This replica leads 1 of 3 subscriptions, 1 connected; whether the others are connected is not known."},
		{1, 0, "This replica leads 1 of 1 subscription, 1 connected."},
	} {
		w := demo(c.subscriptions)
		b.See(serveSource(t, alone(w, c.replica), "0").url)
		b.Says("#verdict-text", "NATS does not answer")
		if more := b.Text("#verdict-more"); more != c.more {
			t.Errorf("the verdict is %q, want %q", more, c.more)
		}
		b.Says("#events", "Not known: "+errAway.Error())
		lacks(t, b, "#events", "No event")
		b.Says("#moments-note", "happened is not known.")
		lacks(t, b, "#cards", "Nothing happened", "nobody would take over")
		if c.subscriptions > 1 || c.replica > 0 {
			first := ".card[data-level=warn]"
			b.Says(first+" .state", "not known")
			b.Says(first, "zoomstream-0, when last known")
			b.Says(first, "Not known: NATS does not answer, and this replica is not the leader.")
			lacks(t, b, first, "0/s", "No event", "does not answer;", "connected for")
			if n := browsertest.Eval[int](b, `[...document.querySelectorAll(".card")].filter((c) => c.querySelector(".state").textContent.startsWith("not known")).flatMap((c) => [...c.querySelectorAll(".strip .s-up")]).length`); n != 0 {
				t.Error("a strip shows a connection that nobody knows of")
			}
		}
	}
	b.Clean()
}

// TestOldEventsAreShownAsOld: what was read before stays visible, with its age.
func TestOldEventsAreShownAsOld(t *testing.T) {
	t.Parallel()
	w := demo(1)
	source := w.source()
	inner := source.Events
	source.Events = func(ctx context.Context) ([]page.Event, error) {
		if events, err := inner(ctx); err == nil {
			return events, nil
		}
		return nil, errors.New("stream ZOOM does not answer")
	}
	b := chromium.Open(t, 1280, 900, false)
	s := serveSource(t, source, "0")
	b.See(s.url)
	b.Until(`document.querySelectorAll("#events tbody tr").length === 24 && !document.querySelector("#events.old")`)
	w.change(func(w *world) { w.away = errAway })
	b.Until(`document.querySelectorAll("#events.old tbody tr").length === 24`)
	b.Says("#events p", " old; what came since is not known: stream ZOOM does not answer")
	b.Says("#verdict-more", "when last heard: 1 of 1 subscription connected")
	b.Says("#moments-note", "What happened since ")

	// A viewer that comes only now sees the same.
	later := chromium.Open(t, 1280, 900, false)
	later.See(s.url)
	later.Says("#events.old p", " old; what came since is not known: stream ZOOM does not answer")
	w.change(func(w *world) { w.away = nil })
	b.Until(`!document.querySelector("#events.old") && document.querySelector("#events p").hidden`)
	b.Until(`!document.querySelector("#moments").textContent.includes("not known")`)
	b.Clean()
	later.Clean()
}

func TestAnEmptyStream(t *testing.T) {
	t.Parallel()
	w := demo(1)
	w.events = nil
	b := chromium.Open(t, 1280, 900, false)
	b.See(serve(t, w, "0").url)
	b.Says("#events", "No event in the stream yet.")
	b.Clean()
}
