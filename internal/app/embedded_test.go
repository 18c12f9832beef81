package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestPageEvents: in mode auto, the page shows whole events only if the embedded NATS shows them to
// anybody.
func TestPageEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		embedded        bool
		anonymous, mode string
		shown           bool
	}{
		{true, "read", "", true},
		{true, "read", "off", false},
		{true, "none", "auto", false},
		{true, "none", "on", true},
		{false, "read", "auto", false},
		{false, "read", "on", true},
		{false, "read", "off", false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.settings.HTTPAddr, h.settings.NATSAnonymous, h.settings.PageEvents = "127.0.0.1:0", c.anonymous, c.mode
			if c.embedded {
				h.settings.NATSURL = ""
			}
			h.connected()
			h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
			if c.shown {
				h.await("the event on the page", 20*time.Second, func() bool { _, body := h.get("/event/1"); return strings.Contains(body, "meeting.started") })
				return
			}
			for _, path := range []string{"/event/1", "/search?what=meeting.started&since=1h"} {
				if code, body := h.get(path); code != http.StatusForbidden || !strings.Contains(body, "ZOOMSTREAM_PAGE_EVENTS") {
					t.Errorf("%s: %d %s", path, code, body)
				}
			}
		})
	}
}

// TestEmbeddedAnonymous reads what a connector with embedded NATS has stored, without a login where
// that is allowed. A second connector joins with the file nats.url.
func TestEmbeddedAnonymous(t *testing.T) {
	t.Parallel()
	for anonymous, allowed := range map[string]bool{"": true, "read": true, "none": false} {
		t.Run(anonymous, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.settings.NATSURL, h.settings.NATSAnonymous = "", anonymous
			h.connected()
			noted, runs := natsconn.EmbeddedURL(h.settings.DataDir, "")
			if !runs {
				t.Fatal("it does not run")
			}
			u, err := url.Parse(noted)
			if err != nil {
				t.Fatal(err)
			}
			token, _ := u.User.Password()
			u.User = nil

			nc, err := nats.Connect(u.String())
			if allowed != (err == nil) || !allowed && !errors.Is(err, nats.ErrAuthorization) {
				t.Fatalf("without a login: %v", err)
			}
			if allowed {
				defer nc.Close()
				sub, err := nc.SubscribeSync("zoom.>")
				if err == nil {
					err = nc.Flush()
				}
				if err != nil {
					t.Fatal(err)
				}
				h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
				if _, err := sub.NextMsg(10 * time.Second); err != nil {
					t.Error(err)
				}
			}

			other := *h // which uses the same simulator
			other.log, other.stop = &syncbuf.Buffer{}, nil
			other.settings.NATSURLFile = natsconn.URLFile(h.settings.DataDir)
			other.settings.DataDir, other.settings.Replica = t.TempDir(), "replica-2"
			other.start()
			defer other.end()
			h.await("the other replica", 20*time.Second, func() bool { return strings.Contains(h.log.String(), "replica.there") })

			file, err := filepath.Abs(natsconn.URLFile(h.settings.DataDir))
			if err != nil {
				t.Fatal(err)
			}
			hints := []string{"NATS_URL=$(cat '" + file + "') nats sub 'zoom.>'"}
			if allowed {
				hints = []string{"nats sub -s " + u.String() + " 'zoom.>'", "NATS_URL=$(cat '" + file + "') nats"}
			}
			for _, hint := range hints {
				if !strings.Contains(h.log.String(), hint) {
					t.Errorf("it does not say %s", hint)
				}
			}
			for _, log := range []*syncbuf.Buffer{h.log, other.log} {
				if strings.Contains(log.String(), token) {
					t.Errorf("the token is logged:\n%s", log)
				}
			}
		})
	}
}
