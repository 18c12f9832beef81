package app

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// told returns the messages of an alarm in the stream.
func (h *harness) told(name string) (all []message.Alarm) {
	h.t.Helper()
	for _, msg := range h.all() {
		if message.KindOf("zoom", msg.Subject()) != message.KindAlarm {
			continue
		}
		if a, err := message.ParseAlarm(msg.Data(), time.Now()); err == nil && a.Name == name {
			all = append(all, a)
		}
	}
	return all
}

// TestTokenTrouble: the alarm's text, when there has been no token for a while, or when tokens do
// not last.
func TestTokenTrouble(t *testing.T) {
	m := &monitor{}
	failed, long := errors.New("HTTP 500"), time.Now().Add(-time.Minute)
	for _, c := range []struct {
		st   zoom.TokenStats
		want string
	}{
		{zoom.TokenStats{}, ""},
		{zoom.TokenStats{Err: failed, Since: long}, ""}, // nobody waits for a token
		{zoom.TokenStats{Err: failed, Since: time.Now(), Waiting: true}, ""},
		{zoom.TokenStats{Err: failed, Since: long, Waiting: true}, "HTTP 500"},
		{zoom.TokenStats{Rivals: "somebody else"}, "somebody else"},
		{zoom.TokenStats{Rivals: "somebody else", Err: failed, Since: long, Waiting: true}, "HTTP 500"},
	} {
		if text := m.tokenTrouble(c.st); !strings.Contains(text, c.want) || c.want == "" && text != "" {
			t.Errorf("%+v is told as %q", c.st, text)
		}
	}
}

// TestTokenAlarm: the alarm is raised and cleared in the stream, the status and the metrics.
func TestTokenAlarm(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	h.ready()
	if err := h.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenHTTP500}, zoomsim.Span{}); err != nil {
		t.Fatal(err)
	}
	h.renewToken()
	h.await("the alarm is raised", 15*time.Second, func() bool { return h.raised(message.AlarmToken) })
	_, metrics := h.get("/metrics")
	for _, line := range []string{`zoomstream_alarm{alarm="token",subscription=""} 1`, `zoomstream_alarms_raised_total{alarm="token"} 1`, `zoomstream_alarm{alarm="stream",subscription=""} 0`} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("/metrics has no %s", line)
		}
	}
	if code, _ := h.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d; Zoom's trouble is not ours", code)
	}
	h.sim.Reset()
	h.ready()
	h.await("the alarm is cleared", 10*time.Second, func() bool { return !h.raised(message.AlarmToken) })
	h.await("the stream tells", 5*time.Second, func() bool { return len(h.told(message.AlarmToken)) == 2 })
	all := h.told(message.AlarmToken)
	if !all[0].Raised || all[1].Raised || all[0].Replica != "replica-1" || !strings.Contains(all[0].Detail, "500") || !regexp.MustCompile(`^it lasted \d+s$`).MatchString(all[1].Detail) || all[0].Subscription != "" || all[0].Epoch != 0 {
		t.Errorf("%+v", all)
	}
}

// TestSilentAlarm: with a threshold, the alarm is raised while connected, and cleared by an event.
func TestSilentAlarm(t *testing.T) {
	h := newMonitored(t)
	h.settings.AlarmSilent = "3s"
	h.startWith(func(*Options) {})
	h.ready()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.await("the alarm is raised", 10*time.Second, func() bool { return h.raised(message.AlarmSilent) })
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.await("the alarm is cleared", 5*time.Second, func() bool { return !h.raised(message.AlarmSilent) })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	all := h.told(message.AlarmSilent)
	if len(all) != 2 || !all[0].Raised || all[1].Raised || all[0].Subscription != subID || all[0].Epoch == 0 {
		t.Errorf("%+v", all)
	}
}

// TestSpoolingShowsAfterARestart: the stream refuses events before a restart and after it. The new
// process shows the alarm.
func TestSpoolingShowsAfterARestart(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	h.ready()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	h.seal(true)
	for range 8000 { // more than NATS is given at once
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	h.await("the alarm is raised", 10*time.Second, func() bool { return h.raised(message.AlarmSpooling) })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	listened := h.url()
	h.startWith(func(*Options) {})
	h.await("the next one listens", 5*time.Second, func() bool { return h.url() != listened })
	h.ready()
	h.await("the next one has the spool", 5*time.Second, func() bool { return h.status().Outbox.Spooled > 0 && !h.status().Outbox.Direct })
	for deadline := time.Now().Add(7 * time.Second); !h.raised(message.AlarmSpooling); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("events are kept on disk for 7 s, and no alarm shows: %+v, %+v", h.status().Alarms, h.status().Outbox)
			break
		}
	}
	h.seal(false)
	h.await("all is published", 15*time.Second, func() bool { return h.status().Outbox.Direct })
	h.await("the alarm is over", 5*time.Second, func() bool { return !h.raised(message.AlarmSpooling) })
}

// TestSpoolingWithoutEvents: a leader that has lost NATS raises the alarm even if there is no event
// to publish.
func TestSpoolingWithoutEvents(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	h.ready()
	dir, port := h.nats.JetStreamConfig().StoreDir, h.natsPort()
	natstest.Stop(h.nats)
	h.await("the alarm is raised", 15*time.Second, func() bool { return h.raised(message.AlarmSpooling) })
	h.nats = natstest.Run(t, filepath.Dir(dir), port)
	h.await("the alarm is over", 15*time.Second, func() bool { return !h.raised(message.AlarmSpooling) })
	h.await("the stream tells", 5*time.Second, func() bool { return len(h.told(message.AlarmSpooling)) == 2 })
}

// hook is an incoming webhook.
type hook struct {
	t     *testing.T
	url   string
	posts chan string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, posts: make(chan string, 10)}
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err != nil {
			t.Error(err)
		}
		h.posts <- string(body)
	}))
	t.Cleanup(web.Close)
	h.url = web.URL + "/must-not-leak"
	return h
}

// posted waits for the next post, and checks that it contains a text.
func (h *hook) posted(want string) {
	h.t.Helper()
	select {
	case got := <-h.posts:
		if !strings.Contains(got, want) {
			h.t.Errorf("the webhook is told %s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		h.t.Fatalf("the webhook is not told: %s", want)
	}
}

// TestAlarmWebhookComesLater: a webhook that comes by SIGHUP gets an alarm that is raised already.
// At the stop it learns that nobody watches the alarm any more: it is not cleared.
func TestAlarmWebhookComesLater(t *testing.T) {
	h := newMonitored(t)
	hook := newHook(t)
	reload := h.reloading()
	h.ready()
	if err := h.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenHTTP500}, zoomsim.Span{}); err != nil {
		t.Fatal(err)
	}
	h.renewToken()
	h.await("the alarm is raised", 15*time.Second, func() bool { return h.raised(message.AlarmToken) })
	reload(func(s *config.Settings) { s.AlarmWebhookURL = hook.url })
	hook.posted("is raised by replica replica-1")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	hook.posted("is no longer watched by replica replica-1: this replica stops while it is raised: Zoom has given no access token")
	if all := h.told(message.AlarmToken); len(all) != 2 || all[1].Raised || !strings.HasPrefix(all[1].Detail, "this replica stops") {
		t.Errorf("the stream is told %+v", all)
	}
	if len(hook.posts) > 0 {
		t.Errorf("the webhook is told %s, too", <-hook.posts)
	}
}
