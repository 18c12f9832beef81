//go:build !race

// Excluded under the race detector, which would only slow the browser down: it is no Go program.

package page_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// TestNothingIsStored: while NATS takes nothing, the page says what that means for the events, and
// shows no old figure as if it were current.
func TestNothingIsStored(t *testing.T) {
	t.Parallel()
	const kept = "nothing is lost: 8 events are kept on disk, 6.5 KiB of 1 GiB"
	w := demo(1)
	w.moments[1].Name = page.Crash
	source := w.source()
	cut := false
	inner := source.Overview
	source.Overview = func(ctx context.Context, history bool) (*status.Overview, error) {
		o, err := inner(ctx, history)
		if cut {
			err = errAway
		}
		return o, err
	}
	b := chromium.Open(t, 1280, 900, false)
	b.See(serveSource(t, source, "0").url)
	b.Says("#moments", "crash: zoomstream-1 → zoomstream-0")
	lacks(t, b, "#cards", "handover")
	lacks(t, b, "#moments", "handover")
	lacks(t, b, "main", "nothing is lost")
	b.Until(`document.querySelector(".card .mark").textContent === "✓" && document.querySelector("#verdict-kept").hidden`)

	// The stream takes nothing, but the replica can be asked.
	w.change(func(w *world) {
		p := &w.overview.Replicas[0].Outbox
		p.Trouble, p.Kept, p.Spooled = "no stream takes the subject", kept, 8
	})
	b.Says("#verdict-kept", "zoomstream-0: "+kept)
	b.Says(".card .said", "Nothing is stored now: no stream takes the subject. The figures are from before that.")
	b.Until(`document.querySelector(".card .mark").textContent === "!"`)
	lacks(t, b, ".card", "Stored after")

	// NATS is away.
	w.change(func(w *world) {
		p := &w.overview.Replicas[0].Outbox
		p.NATS, p.Trouble = false, ""
		cut = true
	})
	b.Says("#verdict-text", "NATS does not answer")
	b.Says("#verdict-kept", "zoomstream-0: "+kept)
	b.Says(".card .said", "Nothing is stored now: zoomstream-0 has no connection to NATS.")
	b.Until(`document.querySelector(".card .mark").textContent === "!"`)
	lacks(t, b, ".card", "Stored after")

	w.change(func(w *world) {
		w.overview.Replicas[0].Outbox = w.overview.Replicas[2].Outbox
		cut = false
	})
	b.Until(`document.querySelector(".card .mark").textContent === "✓" && document.querySelector("#verdict-kept").hidden`)
	b.Says(".card .said", "Stored after 148 ms")
	b.Clean()
}

// TestWaitingForJetStream: a replica that has NATS and waits for JetStream does not claim that NATS
// is away.
func TestWaitingForJetStream(t *testing.T) {
	t.Parallel()
	w := demo(1)
	source := w.source()
	waits := errors.New("this replica is connected to NATS and waits for JetStream")
	starting := member("zoomstream-0", time.Now())
	starting.Phase = status.Starting
	source.Overview = func(context.Context, bool) (*status.Overview, error) {
		return &status.Overview{At: time.Now(), Bucket: "zoomstream", Stream: "ZOOM", Replicas: []status.Member{starting}}, waits
	}
	source.Events = func(context.Context) ([]page.Event, error) { return nil, waits }
	source.Timeline = func(context.Context) ([]page.Moment, error) { return nil, waits }
	b := chromium.Open(t, 1280, 900, false)
	b.See(serveSource(t, source, "0").url)
	b.Says("#verdict-text", "Waiting for JetStream")
	b.Says("#errors", waits.Error())
	b.Says("#replicas", "✓ connected")
	lacks(t, b, "main", "NATS does not answer", "no connection", "leads none of")
	b.Clean()
}
