package status

import (
	"strings"
	"testing"
	"time"
)

// TestUnused: a subscription that only the bucket of the states knows is no trouble, if all
// replicas report that they are not set up for it.
func TestUnused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*world, *Replica)
		unused  bool
	}{
		"all answer":    {func(*world, *Replica) {}, true},
		"one is silent": {func(_ *world, a *Replica) { hears(a, "silent") }, false},
		"it is held":    {func(w *world, _ *Replica) { w.lease("old", "dead", 0) }, false},
		"a replica would": {func(_ *world, a *Replica) {
			a.Subscriptions = append(a.Subscriptions, Subscription{Subscription: "old", Role: Standby})
		}, false},
		"its leader died":       {func(w *world, _ *Replica) { w.state("old", "dead", "connected", time.Now().Add(-time.Hour)) }, false},
		"not all are mentioned": {func(_ *world, a *Replica) { a.Shortened = withoutSubscriptions }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.buckets()
			w.state("old", "b", "disconnected", time.Now().Add(-time.Hour))
			a := made("a", leads("sub-1", "a", w.lease("sub-1", "a", 0)))
			c.prepare(w, a)
			w.serve(w.connect(), a)
			o, _ := w.ask(w.connect(), AskOptions{Wait: 200 * time.Millisecond})
			if len(o.Subscriptions) != 2 || o.Subscriptions[0].Subscription.Subscription != "old" || o.Subscriptions[0].Unused != c.unused || o.Subscriptions[1].Unused {
				t.Fatalf("it is %q", lines(o))
			}
			if err := o.Verdict(); (err == nil) != c.unused {
				t.Errorf("the verdict is %v", err)
			}
			js, err := o.JSON("")
			must(t, err)
			if table := text(t, o); strings.Contains(table, "unused: no replica is set up for it") != c.unused || strings.Contains(table, ": 1 subscription connected\n") != c.unused ||
				strings.Contains(string(js), `"unused":true`) != c.unused {
				t.Errorf("it prints\n%s%s", table, js)
			}
		})
	}
}

// TestNotKnownWhetherUnused: if nobody answers, it is not known whether a subscription is used.
func TestNotKnownWhetherUnused(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	w.state("old", "b", "disconnected", time.Now().Add(-time.Hour))
	o, _ := w.ask(w.connect(), AskOptions{})
	if err := o.Verdict(); o.Subscriptions[0].Unused || err == nil {
		t.Errorf("it is %q, %v", lines(o), err)
	}
}

// TestAllUnused: if no known subscription is used, something is wrong.
func TestAllUnused(t *testing.T) {
	o := &Overview{Subscriptions: []Line{{Unused: true}}, Replicas: []Member{{Answered: true}}}
	if err := o.Verdict(); err == nil || err.Error() != "no subscription is known" {
		t.Errorf("the verdict is %v", err)
	}
}

// TestTableOrder: trouble comes first, then subscriptions by name; unused ones are last.
func TestTableOrder(t *testing.T) {
	o := &Overview{At: noon, Replicas: []Member{{Nonce: "n", Replica: "a", Answered: true}}}
	for _, name := range []string{"a-unused", "sub-1", "sub-2", "sub-3", "sub-9", "sub-10", "sub-11"} {
		l := Line{Subscription: Subscription{Subscription: name, State: connected, Leader: "a", LeaderNonce: "n"}, Answered: true}
		switch name {
		case "a-unused":
			l = Line{Subscription: Subscription{Subscription: name, State: "disconnected"}, Unused: true}
		case "sub-3":
			o.Alarms = []Alarm{{Alarm: "late", Subscription: name}}
		case "sub-9", "sub-10":
			l.State = "disconnected"
		}
		o.Subscriptions = append(o.Subscriptions, l)
	}
	table, _, _ := strings.Cut(text(t, o), "TROUBLE")
	at := 0
	for _, name := range []string{"sub-9 ", "sub-10 ", "sub-3 ", "sub-1 ", "sub-2 ", "sub-11 ", "a-unused      none    -      unused: no replica is set up for it\n"} {
		place := strings.LastIndex(table, "\n"+name)
		if place < at {
			t.Errorf("%s is at %d:\n%s", name, place, table)
		}
		at = place
	}
	if rest := text(t, o); strings.Count(rest, "a-unused") != 1 || !strings.Contains(rest, "2 of 6 subscriptions without") {
		t.Errorf("it prints\n%s", rest)
	}
}
