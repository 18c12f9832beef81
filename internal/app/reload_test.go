package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// reloading starts a connector, and returns a function that reloads its settings with a change.
func (h *harness) reloading() func(change func(*config.Settings)) {
	h.t.Helper()
	configs := make(chan *config.Config)
	h.startWith(func(o *Options) { o.Reload = configs })
	return func(change func(*config.Settings)) {
		h.t.Helper()
		settings := h.settings
		change(&settings)
		cfg, err := config.Load(settings, "", nil)
		if err != nil {
			h.t.Fatal(err)
		}
		before := strings.Count(h.log.String(), "config.reloaded")
		configs <- cfg
		h.await("it is read again", 5*time.Second, func() bool { return strings.Count(h.log.String(), "config.reloaded") > before })
	}
}

// renewToken has Zoom refuse every token issued so far.
func (h *harness) renewToken() {
	h.t.Helper()
	if _, err := h.sim.Do("rotate?count=1"); err != nil {
		h.t.Fatal(err)
	}
	h.sim.IssueToken()
	h.sim.Cut(subID)
}

// TestReloadedCredentials: the next token is fetched with the new credentials, and the connection
// stays open.
func TestReloadedCredentials(t *testing.T) {
	h := newMonitored(t)
	reload := h.reloading()
	h.ready()
	reload(func(*config.Settings) {})
	reload(func(s *config.Settings) { s.ZoomClientSecret = "wrong-must-not-leak" })
	if text := h.log.String(); strings.Count(text, `"secrets_changed":false`) != 1 || strings.Count(text, `"secrets_changed":true`) != 1 {
		t.Errorf("what has changed is not told:\n%s", text)
	}
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	if sum := h.sim.Summary(subID); sum.Sockets != 1 {
		t.Errorf("%d connections", sum.Sockets)
	}
	h.renewToken()
	h.await("Zoom refuses the wrong secret", 10*time.Second, func() bool { return h.status().Token.Failures > 0 })
	if trouble := h.status().Token.Trouble; trouble == "" || strings.Contains(trouble, "must-not-leak") {
		t.Errorf("%q", trouble)
	}
	if _, still := h.over(); !still {
		t.Error("a secret that is wrong for a while ends the connector")
	}
}

// over returns the error of a connector that has ended by itself, and whether it is still running.
func (h *harness) over() (error, bool) {
	select {
	case err := <-h.ended:
		return err, false
	default:
		return nil, true
	}
}

// TestRightSecretComesByReload: a wrong secret, which itself came by a reload, is corrected by
// another one.
func TestRightSecretComesByReload(t *testing.T) {
	h := newMonitored(t)
	reload := h.reloading()
	h.ready()
	reload(func(s *config.Settings) { s.ZoomClientSecret = "wrong-must-not-leak" })
	h.renewToken()
	h.await("Zoom refuses the wrong secret", 10*time.Second, func() bool { return h.status().Token.Failures > 0 })
	h.await("it says that it could not lead", 10*time.Second, func() bool { return h.status().Token.Denied })
	reload(func(*config.Settings) {})
	corrected := time.Now()
	h.await("the right one is used", 10*time.Second, func() bool {
		s := h.status()
		return s.Token.Refreshes > 1 && !s.Token.Denied && s.Subscriptions[0].State == "connected"
	})
	t.Logf("connected %s after the secret was corrected", time.Since(corrected))
}

// TestRefusedSecretsAreReadAgain: when Zoom or NATS refuses a secret its file is read again,
// without a signal.
func TestRefusedSecretsAreReadAgain(t *testing.T) {
	h := newMonitored(t)
	right, err := config.Load(h.settings, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("half written")
	h.settings.ZoomClientSecret = "wrong-must-not-leak"
	calls := 0
	h.startWith(func(o *Options) {
		o.Reread = func() (*config.Config, error) {
			if calls++; calls == 1 {
				return nil, broken
			}
			return right, nil
		}
	})
	select {
	case err := <-h.ended:
		if text := h.log.String(); !strings.Contains(text, "half written") || !strings.Contains(err.Error(), "invalid_client") {
			t.Errorf("%v\n%s", err, text)
		}
	case <-time.After(10 * time.Second):
		t.Error("a secret that cannot be read again ends nothing")
	}
	h.startWith(func(o *Options) { o.Reread = func() (*config.Config, error) { return right, nil } })
	h.ready()
	if text := h.log.String(); !strings.Contains(text, "config.reread") {
		t.Errorf("%s", text)
	}
}

// TestReloadedWhileNATSIsAway: a secret that is corrected while NATS is away is used once NATS is
// there.
func TestReloadedWhileNATSIsAway(t *testing.T) {
	h := newMonitored(t)
	port, dir := h.natsPort(), t.TempDir()
	natstest.Stop(h.nats)
	h.settings.ZoomClientSecret = "wrong-must-not-leak"
	reload := h.reloading()
	h.url()
	reload(func(s *config.Settings) { s.ZoomClientSecret = clientSecret })
	natstest.Run(t, dir, port)
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		h.sim.WaitReady(t.Context(), subID) //nolint:errcheck // the end of the test is looked at below
	}()
	select {
	case <-ready:
	case err := <-h.ended:
		t.Errorf("ended with %v", err)
	case <-time.After(10 * time.Second):
		t.Error("not connected")
	}
}

// TestReloadedSecretToken: a new secret token counts from the next event on.
func TestReloadedSecretToken(t *testing.T) {
	h := newMonitored(t)
	reload := h.reloading()
	h.ready()
	verdict := func(n int) string {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
		h.waitStored(n)
		all := h.stored()
		return all[n-1].Headers().Get("Zoom-Signature")
	}
	if got := verdict(1); got != "valid" {
		t.Errorf("at first: %q", got)
	}
	reload(func(s *config.Settings) { s.ZoomSecretToken = "wrong-must-not-leak" })
	if got := verdict(2); got != "invalid" {
		t.Errorf("with a wrong one: %q", got)
	}
	reload(func(s *config.Settings) { s.ZoomSecretToken = "" })
	if got := verdict(3); got != "" {
		t.Errorf("without one: %q", got)
	}
	reload(func(*config.Settings) {})
	if got := verdict(4); got != "valid" {
		t.Errorf("with the right one again: %q", got)
	}
}
