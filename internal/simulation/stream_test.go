//go:build !race

// Excluded under the race detector: it has the other tests, and these fill dozens of bubbles.
package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

// operator calls do with a connection that has all rights on NATS.
func (w *world) operator(do func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error) {
	nc, err := nats.Connect("", nats.InProcessServer(&w.nats))
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := do(ctx, nc, js); err != nil {
		panic(err)
	}
}

func (w *world) deleteStream() {
	w.journal.note("the stream is deleted")
	w.operator(func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) error {
		return js.DeleteStream(ctx, stream)
	})
}

// makeStream creates the stream as another team would, if there is none.
func (w *world) makeStream() {
	w.journal.note("another team makes the stream")
	w.operator(func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{prefix + ".>"}, Duplicates: 30 * time.Minute})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil
		}
		return err
	})
}

// editStream changes the stream's configuration.
func (w *world) editStream(change func(*jetstream.StreamConfig)) {
	w.journal.note("the stream is edited")
	w.operator(func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		c := s.CachedInfo().Config
		change(&c)
		_, err = js.UpdateStream(ctx, c)
		return err
	})
}

// listen has a core subscription on all subjects for a while: a publish then no longer gets "no
// responders".
func (w *world) listen(from, to time.Duration) {
	var nc *nats.Conn
	w.after(from, func() {
		var err error
		if nc, err = nats.Connect("", nats.InProcessServer(&w.nats)); err != nil {
			panic(err)
		}
		if _, err := nc.Subscribe(prefix+".>", func(*nats.Msg) {}); err != nil {
			panic(err)
		}
		if err := nc.Flush(); err != nil {
			panic(err)
		}
	})
	w.after(to, func() { nc.Close() })
}

// TestStreamVanishes: zoomstream creates its own stream again, whether or not anybody publishes or
// listens. It never creates another team's, not even when a replica starts while that is gone. Each
// time there is an alarm.
func TestStreamVanishes(t *testing.T) {
	const gone, back, end = 2 * time.Minute, 3 * time.Minute, 5 * time.Minute
	for _, c := range []struct{ foreign, listening, publishing, restart bool }{
		{}, {listening: true, publishing: true},
		{foreign: true, listening: true}, {foreign: true, publishing: true}, {foreign: true, restart: true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			vanishes(t, c.foreign, c.listening, c.publishing, c.restart, gone, back, end)
		})
	}
}

func vanishes(t *testing.T, foreign, listening, publishing, restart bool, gone, back, end time.Duration) {
	p := scenario(1, end)
	if restart {
		p.steps = []step{leader(faultStop, gone+20*time.Second, 10*time.Second)}
	}
	there := make(map[time.Duration]bool)
	direct(t, p, func(w *world) {
		if foreign {
			w.after(30*time.Second, w.deleteStream)
			w.after(30*time.Second+time.Millisecond, w.makeStream)
			w.after(back, w.makeStream)
		}
		if listening {
			w.listen(time.Minute, end-time.Second)
		}
		w.after(gone, w.deleteStream)
		if publishing {
			w.flow(gone+time.Second, back-time.Second, time.Second, time.Second)
		}
		for _, at := range []time.Duration{gone + 20*time.Second, back - time.Second, end - 2*time.Second} {
			w.after(at, func() {
				w.operator(func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) error {
					_, err := js.Stream(ctx, stream)
					there[at] = err == nil
					return nil
				})
			})
		}
	}, func(t *testing.T, v *evidence) {
		if there[gone+20*time.Second] == foreign || there[back-time.Second] == foreign || !there[end-2*time.Second] {
			t.Errorf("the stream is there: %v", there)
		}
		if restart {
			return // the replica that stopped cleared the alarm, and the next one only shows it
		}
		all := v.raisedCleared(t, message.AlarmStream, 1)
		if raised := all[0].At.Sub(v.start); raised < gone || raised > gone+20*time.Second {
			t.Errorf("raised after %s: %s", raised, all[0].Detail)
		}
		if cleared := all[1].At.Sub(v.start); foreign && (cleared < back || cleared > back+20*time.Second) {
			t.Errorf("cleared after %s", cleared)
		}
	})
}

// TestStreamIsEdited: while events come, the stream is edited so that it refuses them, and then put
// right. The alarm says how to mend it, and in the end all events are stored.
func TestStreamIsEdited(t *testing.T) {
	for name, c := range map[string]struct {
		wrong, right func(*jetstream.StreamConfig)
		listening    bool
		word         string
	}{
		"no acknowledgement": {func(c *jetstream.StreamConfig) { c.NoAck = true }, func(c *jetstream.StreamConfig) { c.NoAck = false }, false, "nats stream edit ZOOM --ack"},
		"other subjects": {func(c *jetstream.StreamConfig) { c.Subjects = []string{message.BridgeSubjects(prefix)} },
			func(c *jetstream.StreamConfig) { c.Subjects = []string{prefix + ".>"} }, true, "other events have nowhere to go"},
		"one of each subject": {func(c *jetstream.StreamConfig) {
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, 1000
		}, func(c *jetstream.StreamConfig) {
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardOld, false, -1
		}, false, "discard_new_per_subject"},
	} {
		t.Run(name, func(t *testing.T) {
			direct(t, scenario(1, 4*time.Minute), func(w *world) {
				if c.listening {
					w.listen(30*time.Second, 3*time.Minute)
				}
				w.flow(10*time.Second, 3*time.Minute, time.Second, time.Second)
				w.after(time.Minute, func() { w.editStream(c.wrong) })
				w.after(2*time.Minute, func() { w.editStream(c.right) })
			}, func(t *testing.T, v *evidence) {
				told := false
				all := v.raisedCleared(t, message.AlarmStream, 1)
				for _, a := range all {
					told = told || strings.Contains(a.Detail, c.word)
				}
				if !told || all[0].At.Sub(v.start) > time.Minute+20*time.Second {
					t.Errorf("it does not say %q: %s", c.word, v.tell(all))
				}
			})
		})
	}
}
