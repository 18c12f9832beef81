//go:build unix && !race

package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestPageOfReplicas watches a standby's status page in a browser during a handover, while Zoom
// sends events that try to be more than text.
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
	b.Says("#moments", "handover: first → second")
	if title := browsertest.Eval[string](b, "document.title"); title == "broken" {
		t.Error("what Zoom sent was run")
	}
	b.Clean()
}

// TestPageTellsChangesApart: the page tells a rebalance, a renewal and a handover of real replicas
// apart.
func TestPageTellsChangesApart(t *testing.T) {
	t.Parallel()
	var chromium browsertest.Chromium
	t.Cleanup(chromium.Close)
	b := chromium.Open(t, 1280, 900, false)
	sim := zoomsim.New(zoomsim.Options{ClientID: "client", ClientSecret: testSecret, TokenLifetime: 12 * time.Second})
	web := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { sim.Close(); web.Close() })
	endpoint := "ws" + strings.TrimPrefix(web.URL, "http") + "/ws?subscriptionId="
	settings := []string{
		"ZOOM_CLIENT_ID=client", "ZOOM_CLIENT_SECRET=" + testSecret, "ZOOM_OAUTH_URL=" + web.URL + "/oauth/token", "ZOOM_WEBSOCKET_URL=" + endpoint + "sub-1," + endpoint + "sub-2",
		"NATS_URL=" + startNATS(t).ClientURL(), "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0", "ZOOMSTREAM_LOG_LEVEL=trace", "ZOOMSTREAM_RENEW=always",
	}
	first := start(t, append(settings, "ZOOMSTREAM_REPLICA=first"), "run")
	for _, subscription := range []string{"sub-1", "sub-2"} {
		if err := sim.WaitReady(t.Context(), subscription); err != nil {
			t.Fatal(err)
		}
	}
	second := start(t, append(settings, "ZOOMSTREAM_REPLICA=second"), "run")
	second.says(&second.stderr, `"reason":"taken_rebalance"`)
	b.See(second.url())
	b.Says("#moments [data-kind=rebalance]", "rebalance: first → second")
	b.Until(`[...document.querySelectorAll("#moments [data-kind=renewed]")].some((m) => m.textContent.includes("renewal: by second"))`)
	first.signal(syscall.SIGTERM)
	first.exit(exitOK)
	b.Says("#moments [data-kind=handover]", "handover: first → second")
	if gaps := browsertest.Eval[int](b, `document.querySelectorAll("#moments [data-kind=gap]").length`); gaps != 0 {
		t.Errorf("%d gaps", gaps)
	}
	b.Clean()
}
