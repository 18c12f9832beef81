package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/outbox/spool"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/message"
)

// TestSpoolConditions: which state of the outbox raises and clears each alarm.
func TestSpoolConditions(t *testing.T) {
	long, just, full, broken := time.Now().Add(-time.Minute), time.Now(), fmt.Errorf("1 GiB: %w", spool.ErrFull), errors.New("no space left")
	const unknown = "unknown"
	for name, c := range map[string]struct {
		st                    outbox.Stats
		spooling, spool, full string
	}{
		"all is well":            {outbox.Stats{Direct: true, Since: long}, "", "", ""},
		"spooling since just":    {outbox.Stats{Since: just}, unknown, unknown, unknown},
		"spooling for long":      {outbox.Stats{Since: long, Trouble: errors.New("no server")}, "no server", unknown, unknown},
		"catching up":            {outbox.Stats{Since: long}, errCatchingUp.Error(), unknown, unknown},
		"full":                   {outbox.Stats{Since: long, SpoolErr: full}, errCatchingUp.Error(), unknown, full.Error()},
		"broken":                 {outbox.Stats{Since: long, SpoolErr: broken}, errCatchingUp.Error(), broken.Error(), unknown},
		"broken, and not needed": {outbox.Stats{Direct: true, Since: long, SpoolErr: broken}, "", broken.Error(), unknown},
	} {
		for condition, want := range map[string]struct {
			why  func(outbox.Stats) (string, bool)
			text string
		}{"spooling": {spoolingTrouble, c.spooling}, "spool": {spoolTrouble, c.spool}, "spool-full": {spoolFullTrouble, c.full}} {
			text, known := want.why(c.st)
			if !known {
				text = unknown
			}
			if text != want.text {
				t.Errorf("%s: %s is %q, want %q", name, condition, text, want.text)
			}
		}
	}
}

// TestAlarmsOfEarlierRuns: runs that were killed left alarms in the spool. Each is cleared once,
// even if the replica had another name.
func TestAlarmsOfEarlierRuns(t *testing.T) {
	h := newMonitored(t)
	h.settings.SpoolDir = t.TempDir()
	other := func(name string, raised bool, of string) *nats.Msg {
		return message.Alarm{Name: name, Raised: raised, Replica: of, At: time.Now(), Detail: "it was so"}.Msg("zoom")
	}
	h.leave(
		other(message.AlarmSpooling, true, "replica-1"),
		other(message.AlarmToken, true, "replica-1"), other(message.AlarmToken, false, "replica-1"),
		other(message.AlarmStream, true, "replica-1"),
		other(message.AlarmStream, true, "renamed"),
		other(message.AlarmSpool, true, "renamed"), other(message.AlarmSpool, false, "renamed"),
		other("unheard-of", true, "replica-1"),
	)
	h.startWith(func(*Options) {})
	h.ready()
	all := func(name, of string) (says string) {
		for _, a := range h.told(name) {
			if a.Replica == of {
				says += fmt.Sprintf("%t ", a.Raised)
			}
		}
		return says
	}
	for _, c := range []struct{ name, of string }{
		{message.AlarmSpooling, "replica-1"}, {message.AlarmToken, "replica-1"}, {message.AlarmStream, "replica-1"}, {message.AlarmStream, "renamed"}, {message.AlarmSpool, "renamed"},
	} {
		h.await(c.name+" of "+c.of+" is cleared", 10*time.Second, func() bool { return strings.HasSuffix(all(c.name, c.of), "false ") })
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, of, want string }{
		{message.AlarmSpooling, "replica-1", "true false "}, {message.AlarmToken, "replica-1", "true false "}, {message.AlarmStream, "replica-1", "true false "},
		{message.AlarmStream, "renamed", "true false "}, {message.AlarmSpool, "renamed", "true false "}, {"unheard-of", "replica-1", "true "},
	} {
		if got := all(c.name, c.of); got != c.want {
			t.Errorf("%s of %s: %s", c.name, c.of, got)
		}
	}
}

// leave leaves messages in the spool, like a run that cannot reach NATS.
func (h *harness) leave(msgs ...*nats.Msg) {
	h.t.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true), nats.ReconnectBufSize(-1))
	if err != nil {
		h.t.Fatal(err)
	}
	defer nc.Close()
	p := outbox.New(natstest.JetStream(h.t, nc), outbox.Options{Stream: "ZOOM", SpoolDir: h.settings.SpoolDir, SpoolMax: 1 << 20, Log: zerolog.Nop()})
	ctx, stop := context.WithCancel(h.t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) }) //nolint:errcheck // it ends with the context
	line := p.Line("sub-1", "1", nil)
	for _, msg := range msgs {
		if err := line.Publish(ctx, msg, outbox.Times{}); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := line.Close(ctx); err != nil {
		h.t.Fatal(err)
	}
	stop()
	running.Wait()
}

// TestDamageIsTold: each loss is reported, even while the alarm is raised. In the stream, the alarm
// is cleared before it is raised again. The webhook is not told of that clearing.
func TestDamageIsTold(t *testing.T) {
	h := newHarness(t)
	nc, err := nats.Connect(h.nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	hook := newHook(t)
	log := zerolog.New(logFunc(func(line string) {
		if strings.Contains(line, "more has been lost") { // cleared, and not yet raised again
			select {
			case got := <-hook.posts:
				t.Errorf("the webhook is told %s", got)
			case <-time.After(300 * time.Millisecond):
			}
		}
		h.log.Write([]byte(line)) //nolint:errcheck // to memory
	}))
	webhook := alarm.NewWebhook(alarm.WebhookOptions{URL: func() string { return hook.url }, Log: log})
	r := &replica{
		o:       Options{Config: &config.Config{Prefix: "zoom", Replica: "replica-1"}},
		monitor: &monitor{alarms: alarm.NewBoard("replica-1", nil, webhook, log)},
		outbox:  outbox.New(natstest.JetStream(t, nc), outbox.Options{Stream: "ZOOM", Log: log}),
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	running.Go(func() { webhook.Run(ctx) })
	r.spooled.noteDamage("5 events are lost")
	r.publishDamage()
	hook.posted("alarm spool is raised by replica replica-1: 5 events are lost")
	r.publishDamage() // nothing new to report
	r.spooled.noteDamage("6 events are lost")
	r.spooled.noteDamage("7 events are lost")
	r.publishDamage()
	running.Go(func() { r.outbox.Run(ctx) }) //nolint:errcheck // it ends with the context
	if err := r.outbox.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	running.Wait()
	hook.posted("alarm spool is raised by replica replica-1: 6 events are lost; 7 events are lost")
	var told []string
	for _, a := range h.told(message.AlarmSpool) {
		told = append(told, fmt.Sprintf("%t %s", a.Raised, a.Detail))
	}
	if want := []string{"true 5 events are lost", "false more has been lost", "true 6 events are lost; 7 events are lost"}; !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

// logFunc is called with each line of a log.
type logFunc func(line string)

func (f logFunc) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}
