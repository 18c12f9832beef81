//go:build !race

// Excluded under the race detector: it has the other tests, and these fill dozens of bubbles.
package simulation

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// direct runs a scenario without traffic of its own. The script puts what is to happen on the
// agenda, with times since the start. The test fails if a promise is broken.
func direct(t *testing.T, p *plan, script func(w *world), look func(*testing.T, *evidence)) {
	t.Helper()
	if p.rate == 4 {
		p.rate = 1e-9
	}
	w := newWorld(p, t.TempDir())
	runtime.GC() // as in simulate
	runtime.GC()
	var problems []string
	defer func() { // a failure within the bubble ends the test there
		for _, problem := range problems {
			t.Error(problem)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		script(w)
		w.inspect = func(v *evidence) { look(t, v) }
		problems = w.run()
	})
}

// flow emits an event each interval, from one time to another. The events are late older than their
// frames.
func (w *world) flow(from, to, every, late time.Duration) {
	for at := from; at < to; at += every {
		w.after(at, func() { w.emit(late) })
	}
}

func (w *world) emit(late time.Duration) {
	w.sim.Emit(subscription(0), zoomsim.Event{
		Body: fmt.Appendf(nil, `{"event":"meeting.started","event_ts":%d,"payload":{"object":{"id":"%d"}}}`, time.Now().Add(-late).UnixMilli(), len(w.sim.Ledger().Entries)),
	})
}

// of returns the alarms of a name, in the stream's order.
func (v *evidence) of(t *testing.T, name string) []message.Alarm {
	return slices.DeleteFunc(v.alarms(t), func(a message.Alarm) bool { return a.Name != name })
}

// raisedCleared checks that an alarm was raised and cleared the given number of times, and returns
// its messages. Each must have a detail, a replica and a time.
func (v *evidence) raisedCleared(t *testing.T, name string, times int) []message.Alarm {
	t.Helper()
	all := v.of(t, name)
	if len(all) != 2*times {
		t.Fatalf("%d messages of alarm %s, want %d: %s", len(all), name, 2*times, v.tell(all))
	}
	for n, a := range all {
		if a.Raised != (n%2 == 0) {
			t.Fatalf("alarm %s does not alternate: %s", name, v.tell(all))
		}
		if a.Detail == "" || a.Replica == "" || a.At.IsZero() {
			t.Errorf("%+v", a)
		}
	}
	return all
}

func (v *evidence) tell(all []message.Alarm) string {
	var b strings.Builder
	for _, a := range all {
		what := "cleared"
		if a.Raised {
			what = "raised"
		}
		fmt.Fprintf(&b, "\n%s %s %s by %s in epoch %d: %s", v.clock(a.At), a.Name, what, a.Replica, a.Epoch, a.Detail)
	}
	return b.String()
}

// TestLateEvents: Zoom sends two hours late for some minutes. The alarm is raised and cleared in
// time.
func TestLateEvents(t *testing.T) {
	direct(t, scenario(2, 12*time.Minute), func(w *world) {
		w.flow(10*time.Second, 3*time.Minute, time.Second, time.Second)
		w.flow(3*time.Minute, 6*time.Minute, time.Second, 2*time.Hour)
		w.flow(6*time.Minute, 9*time.Minute, time.Second, time.Second)
	}, func(t *testing.T, v *evidence) {
		all := v.raisedCleared(t, message.AlarmLate, 1)
		if at := all[0].At.Sub(v.start); at < 3*time.Minute || at > 3*time.Minute+15*time.Second {
			t.Errorf("raised after %s", at)
		}
		if at := all[1].At.Sub(v.start); at < 6*time.Minute || at > 6*time.Minute+15*time.Second {
			t.Errorf("cleared after %s", at)
		}
		for _, word := range []string{"2h0m", "median", "Zoom took 2h0m"} {
			if !strings.Contains(all[0].Detail, word) {
				t.Errorf("%q does not say %q", all[0].Detail, word)
			}
		}
		if v.alarms(t)[0].Subscription != subscription(0) || len(v.alarms(t)) != 2 {
			t.Error(v.tell(v.alarms(t)))
		}
	})
}

// TestFewLateEvents: two late events raise no alarm, nor do two more over an hour later.
func TestFewLateEvents(t *testing.T) {
	direct(t, scenario(1, 3*time.Hour), func(w *world) {
		w.flow(time.Minute, 3*time.Minute, time.Minute, 2*time.Hour)
		w.flow(100*time.Minute, 102*time.Minute, time.Minute, 2*time.Hour)
	}, func(t *testing.T, v *evidence) {
		if all := v.alarms(t); len(all) != 0 {
			t.Error(v.tell(all))
		}
	})
}

// TestLateWithoutAnEnd: the alarm is cleared when no events have come for an hour, since nobody
// knows whether they would be late.
func TestLateWithoutAnEnd(t *testing.T) {
	direct(t, scenario(1, 3*time.Hour), func(w *world) {
		w.flow(time.Minute, 3*time.Minute, 10*time.Second, 2*time.Hour)
	}, func(t *testing.T, v *evidence) {
		all := v.raisedCleared(t, message.AlarmLate, 1)
		if took := all[1].At.Sub(all[0].At); took < 55*time.Minute || took > 65*time.Minute {
			t.Errorf("cleared after %s", took)
		}
	})
}

// TestLateLeaderDies: the next leader adopts the alarm and clears it.
func TestLateLeaderDies(t *testing.T) {
	for _, c := range []struct {
		fault fault
		every time.Duration // between two events
	}{{faultCrash, time.Second}, {faultVanish, time.Second}, {faultCrash, 20 * time.Second}} {
		t.Run(fmt.Sprintf("%s, an event every %s", c.fault, c.every), func(t *testing.T) {
			p := scenario(2, 14*time.Minute, leader(c.fault, 5*time.Minute, time.Minute))
			direct(t, p, func(w *world) {
				w.flow(10*time.Second, 3*time.Minute, c.every, time.Second)
				w.flow(3*time.Minute, 7*time.Minute, c.every, 2*time.Hour)
				w.flow(7*time.Minute, 12*time.Minute, c.every, time.Second)
			}, func(t *testing.T, v *evidence) {
				all := v.of(t, message.AlarmLate)
				if len(all) == 0 || all[len(all)-1].Raised || !all[0].Raised || all[0].Replica == all[len(all)-1].Replica {
					t.Fatal(v.tell(all))
				}
				v.truthful(t, all)
			})
		})
	}
}

// truthful checks that no alarm claims that there was no event for an hour when there was one.
func (v *evidence) truthful(t *testing.T, all []message.Alarm) {
	t.Helper()
	for _, a := range all {
		if !strings.Contains(a.Detail, "no event was received for 1h") {
			continue
		}
		for _, m := range v.stored {
			if m.kind() == message.KindEvent && m.subscription == a.Subscription && m.received.Before(a.At) && m.received.After(a.At.Add(-time.Hour)) {
				t.Errorf("%s says %q, and the stream has an event received at %s", v.clock(a.At), a.Detail, v.clock(m.received))
				break
			}
		}
	}
}

// TestLateLeaderStops: the leader stops or steps down while events are late. The stream then tells
// the truth, whichever of the two replicas is slower.
func TestLateLeaderStops(t *testing.T) {
	for _, c := range []struct {
		fault  fault
		linger time.Duration
	}{{faultStop, 0}, {faultStepDown, 0}, {faultStop, 2 * time.Second}, {faultStepDown, 2 * time.Second}, {faultStop, 5 * time.Second}} {
		t.Run(fmt.Sprintf("%s, a displaced socket stays for %s", c.fault, c.linger), func(t *testing.T) {
			p := scenario(2, 12*time.Minute, leader(c.fault, 4*time.Minute, time.Minute))
			p.linger = c.linger
			direct(t, p, func(w *world) {
				w.flow(10*time.Second, 3*time.Minute, time.Second/4, time.Second)
				w.flow(3*time.Minute, 6*time.Minute, time.Second/4, 2*time.Hour)
				w.flow(6*time.Minute, 9*time.Minute, time.Second/4, time.Second)
			}, func(t *testing.T, v *evidence) {
				all := v.of(t, message.AlarmLate)
				if len(all) == 0 || all[len(all)-1].Raised {
					t.Fatal(v.tell(all))
				}
				raised := false // at 5m30s events have been late for long
				for _, a := range all {
					if a.At.Sub(v.start) < 5*time.Minute+30*time.Second {
						raised = a.Raised
					}
				}
				if !raised {
					t.Errorf("events are late, and the stream says that they are not: %s", v.tell(all))
				}
				v.truthful(t, all)
			})
		})
	}
}

// TestTokenAlarm: Zoom gives out no tokens for a while, and the replica reports it. If the replica
// stops meanwhile it clears its alarm: nobody else can.
func TestTokenAlarm(t *testing.T) {
	trouble := step{at: time.Minute, fault: faultToken, mode: "http500", slot: -1, last: 2 * time.Minute}
	cut := step{at: time.Minute + time.Millisecond, fault: faultRotate, slot: -1}
	t.Run("over", func(t *testing.T) {
		p := scenario(1, 6*time.Minute, trouble, cut)
		direct(t, p, func(*world) {}, func(t *testing.T, v *evidence) {
			all := v.of(t, message.AlarmToken)
			if len(all) != 2 || !all[0].Raised || all[1].Raised || all[0].Replica != all[1].Replica || all[0].Subscription != "" {
				t.Fatal(v.tell(all))
			}
			if at := all[0].At.Sub(v.begin); at < time.Minute+5*time.Second || at > time.Minute+20*time.Second || !strings.Contains(all[0].Detail, "500") {
				t.Error(v.tell(all))
			}
			if all[1].Detail == "" {
				t.Errorf("cleared without a word, as no other alarm is: %s", v.tell(all))
			}
		})
	})
	t.Run("stopped", func(t *testing.T) {
		p := scenario(2, 6*time.Minute, trouble, cut, leader(faultStop, 2*time.Minute, 2*time.Minute),
			step{at: 2*time.Minute + time.Second, fault: faultStop, slot: 0, last: 2 * time.Minute}, step{at: 2*time.Minute + time.Second, fault: faultStop, slot: 1, last: 2 * time.Minute})
		direct(t, p, func(*world) {}, func(t *testing.T, v *evidence) {
			if len(v.of(t, message.AlarmToken)) == 0 {
				t.Fatal("no alarm")
			}
			if all := v.of(t, message.AlarmToken); all[len(all)-1].Raised {
				t.Errorf("its replica has stopped in order, NATS was there all the time, and the alarm stands for ever: %s", v.tell(all))
			}
		})
	})
}

// TestStreamAlarm: the stream refuses messages for a while. A short loss of NATS in between does
// not clear the alarm.
func TestStreamAlarm(t *testing.T) {
	for name, steps := range map[string][]step{"refuses": nil, "and NATS is lost in between": {{at: 3 * time.Minute, fault: faultNATSCut, slot: 0, last: 5 * time.Second}}} {
		t.Run(name, func(t *testing.T) {
			direct(t, scenario(1, 8*time.Minute, steps...), func(w *world) {
				w.flow(10*time.Second, 6*time.Minute, time.Second, time.Second)
				w.after(2*time.Minute, func() { w.seal(t, true) })
				w.after(4*time.Minute, func() { w.seal(t, false) })
			}, func(t *testing.T, v *evidence) {
				all := v.of(t, message.AlarmStream)
				if len(all) != 2 || !all[0].Raised || all[1].Raised {
					t.Fatalf("%d messages of the alarm: %s", len(all), v.tell(all))
				}
				if at := all[0].At.Sub(v.start); at < 2*time.Minute+streamPatience || at > 2*time.Minute+streamPatience+10*time.Second || !strings.Contains(all[0].Detail, "maximum messages") {
					t.Error(v.tell(all))
				}
				if at := all[1].At.Sub(v.start); at < 4*time.Minute || at > 4*time.Minute+15*time.Second {
					t.Error(v.tell(all))
				}
			})
		})
	}
}

const streamPatience = 15 * time.Second // as in the connector

// seal has the stream refuse all messages, or accept them again.
func (w *world) seal(t *testing.T, closed bool) {
	nc, err := nats.Connect("", nats.InProcessServer(&w.nats))
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Error(err)
		return
	}
	s, err := js.Stream(context.Background(), stream)
	if err != nil {
		t.Error(err)
		return
	}
	cfg := s.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardOld, -1
	if closed {
		cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, int64(s.CachedInfo().State.Msgs)
	}
	if _, err := js.UpdateStream(context.Background(), cfg); err != nil {
		t.Error(err)
	}
}

// TestLateAlternatesUnderFaults: events are late all the time, whatever happens to the replicas.
// When the last replica has stopped the alarm still stands, for the next one to judge.
func TestLateAlternatesUnderFaults(t *testing.T) {
	seeds, first := 3, uint64(5000)
	if *seedsFlag != 0 {
		seeds, first = *seedsFlag, *fromFlag
	}
	for n := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", first+n), func(t *testing.T) {
			p := newPlan(first + n)
			p.rate = 1e-9
			direct(t, p, func(w *world) { w.flow(5*time.Second, p.length, time.Second, 2*time.Hour) }, func(t *testing.T, v *evidence) {
				all := v.of(t, message.AlarmLate)
				if len(all) == 0 || !all[len(all)-1].Raised {
					t.Error(v.tell(all))
				}
				v.truthful(t, all)
			})
		})
	}
}

// TestSpoolingIsNotClearedBeforeItWasRaised: in seed 5019, replicas restart with something left in
// the spool, but for too short a time to raise the alarm.
func TestSpoolingIsNotClearedBeforeItWasRaised(t *testing.T) {
	_, problems := simulate(t, newPlan(5019), false, nil)
	for _, problem := range problems {
		t.Error(problem)
	}
}

// TestBucketAlarm: the bucket of the leases or of the states is deleted, and another stream keeps
// it from being created again.
func TestBucketAlarm(t *testing.T) {
	for _, bucket := range []string{"zoomstream", "zoomstream-state"} {
		direct(t, scenario(1, 6*time.Minute), func(w *world) {
			w.after(2*time.Minute, func() {
				w.administer(func(js jetstream.JetStream) error {
					if err := js.DeleteKeyValue(context.Background(), bucket); err != nil {
						return err
					}
					_, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"$KV." + bucket + ".>"}})
					return err
				})
			})
			w.after(4*time.Minute, func() { w.deleteStreams([]string{"OTHER"}) })
		}, func(t *testing.T, v *evidence) {
			var all []message.Alarm
			for _, a := range v.alarms(t) {
				if a.Name == message.AlarmStream {
					all = append(all, a)
				}
			}
			if len(all) != 2 || !all[0].Raised || all[1].Raised || !strings.Contains(all[0].Detail, "create bucket "+bucket+":") {
				t.Fatalf("%s: alarms %+v", bucket, all)
			}
			since := v.start.Add(2 * time.Minute)
			if took := all[0].At.Sub(since); took > 40*time.Second {
				t.Errorf("%s: raised after %s", bucket, took)
			}
			if took := all[1].At.Sub(since.Add(2 * time.Minute)); took > 15*time.Second {
				t.Errorf("%s: cleared after %s", bucket, took)
			}
		})
	}
}
