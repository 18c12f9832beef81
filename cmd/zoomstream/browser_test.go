//go:build unix && !race

package main

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestPageOfReplicas looks at a standby's status page in a browser while the leader
// hands over, and while what Zoom sends tries to be more than text.
func TestPageOfReplicas(t *testing.T) {
	t.Parallel()
	const hostile = `<img src=x onerror=document.title='broken'>`
	var chromium browsertest.Chromium
	t.Cleanup(chromium.Close)
	b := chromium.Open(t, 1280, 900, false)
	sim, zoom := startZoom(t)
	zoom = append(zoom, "NATS_URL="+startNATS(t).ClientURL(), "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0")
	first := start(t, append(zoom, "ZOOMSTREAM_REPLICA=first"), "run")
	await(t, sim)
	second := start(t, append(zoom, "ZOOMSTREAM_REPLICA=second"), "run")
	second.says(&second.stderr, `"code":"replica.there"`)

	b.See(second.url())
	b.Says("main", testSubscription)
	b.Says("main", "first")
	sim.Emit(testSubscription, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":"meeting.started","payload":{"object":{"topic":%q}}}`, hostile)})
	sim.Emit(testSubscription, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":%q}`, hostile)})
	b.Until(`[...document.querySelectorAll("main td")].filter((cell) => cell.textContent.includes("<img src=x")).length >= 2`)

	first.signal(syscall.SIGTERM)
	first.exit(exitOK)
	b.Says("main", "first → second")
	if title := browsertest.Eval[string](b, "document.title"); title == "broken" {
		t.Error("what Zoom sent was run")
	}
	b.Clean()
}
