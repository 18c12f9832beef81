package zoomsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestControlListsWhatItTakes: /control/ describes every action, and lists the standing faults.
func TestControlListsWhatItTakes(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	z.do("mute?subscription=S1&count=3")
	z.connect("S2")
	z.Freeze("S2", 0, false)
	status, text := z.get("/control/")
	var list struct {
		Actions  []struct{ Name, Does, Parameters string }
		Standing []zoomsim.Fault
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	names := make(map[string]bool)
	for _, a := range list.Actions {
		names[a.Name] = true
		if a.Does == "" || a.Parameters == "" && a.Name != "reset" {
			t.Errorf("%s is not described", a.Name)
		}
	}
	for _, name := range strings.Fields("emit meeting raw garbage cut close freeze refuse displace slow-reader mute late duplicate same-tracking object token rotate refuse-dead rival reset") {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
	want := []zoomsim.Fault{{Name: "freeze", Subscription: "S2", Sockets: 1}, {Name: "mute", Subscription: "S1", Left: 3}}
	if fmt.Sprint(list.Standing) != fmt.Sprint(want) {
		t.Errorf("standing %+v", list.Standing)
	}
	z.post("/control/reset", "")
	if n := len(z.Standing()); n != 0 {
		t.Errorf("%d faults after the reset", n)
	}
}

func TestEveryFaultStandsAndIsLiftedOverHTTP(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	z.connect("S1")
	for _, query := range []string{
		"freeze?for=1h&dials=true", "freeze?subscription=S1", "refuse?mode=http503&retry-after=3s&count=2", "displace?linger=1s&frame=true",
		"slow-reader?rate=5", "mute?subscription=S1&count=3", "late?by=2h&for=1m", "duplicate?times=3", "same-tracking", "object?subscription=S1",
		"token?mode=429&retry-after=5s", "rotate?for=1m", "refuse-dead?mode=close&code=1008", "refuse?mode=http&status=400", "rival?after=1s&count=2",
	} {
		name, params, _ := strings.Cut(query, "?")
		if status, text := z.post("/control/"+query, ""); status != 200 {
			t.Errorf("%s: %d %s", query, status, text)
		}
		if len(z.Standing()) == 0 {
			t.Errorf("%s does not stand", query)
		}
		off := "?off=true"
		if strings.Contains(params, "subscription=S1") {
			off += "&subscription=S1"
		}
		status, text := z.post("/control/"+name+off, "")
		var done zoomsim.Done
		if err := json.Unmarshal([]byte(text), &done); err != nil || status != 200 || done.Lifted == 0 || done.Action != name {
			t.Errorf("%s off: %d %s %v", name, status, text, err)
		}
		if left := z.Standing(); len(left) != 0 {
			t.Errorf("%s still stands: %+v", name, left)
		}
	}
}

func TestControlRefusesInOneLine(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	for query, want := range map[string]string{
		"explode":                                `unknown action "explode"; GET /control/ lists the known ones`,
		"mute?fro=1s":                            `mute: parameter "fro" is unknown; known: subscription, for, count, off`,
		"mute?for=soon":                          `mute: for="soon" is not of the form for=5m`,
		"late":                                   `late: by is needed, such as by=2h`,
		"late?by=-1h":                            `late: by="-1h" is not of the form by=2h`,
		"duplicate?times=x":                      `duplicate: times="x" is not of the form times=3`,
		"duplicate?times=-1":                     `duplicate: times="-1" is not of the form times=3`,
		"refuse?mode=maybe":                      `refuse: mode="maybe" is not of the form mode=http503|http|close|cut|old|new`,
		"close?code=1006":                        `close: code 1006 cannot be sent`,
		"token?mode=x":                           `token: mode="x" is not of the form mode=http500|html|`,
		"garbage":                                `garbage: subscription is needed`,
		"emit?subscription=S1":                   `emit: an event name or a body is needed`,
		"object?off=perhaps":                     `object: off="perhaps" is not of the form off=true`,
		"freeze?dials=2&for=-1":                  `freeze: dials="2" is not of the form dials=true; for="-1" is not of the form for=5m`,
		"garbage?subscription=S1&kinds=nonsense": `garbage: kind "nonsense" is unknown; known: array`,
	} {
		status, text := z.post("/control/"+query, "")
		if status != 400 || !strings.HasPrefix(text, want) || strings.Contains(text, "\n") {
			t.Errorf("%s: %d %s\nwant %s", query, status, text, want)
		}
	}
	if status, text := z.get("/control/ledger?since=x"); status != 400 {
		t.Errorf("%d %s", status, text)
	}
	if n := len(z.Standing()); n != 0 {
		t.Errorf("%d faults stand", n)
	}
}

// TestEmitRefusesWhatWouldBeLost: emit refuses a wrong name, and an event that no consumer is there
// for.
func TestEmitRefusesWhatWouldBeLost(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	z.connect("S2")
	for query, want := range map[string]string{
		"emit?subscription=S2&event=meeting.strated":                          `404 emit: unknown event "meeting.strated"; did you mean meeting.started, `,
		"emit?subscription=S1&event=meeting.started":                          `409 nobody is connected to subscription "S1" (connected: S2); allow-nobody=true emits`,
		"meeting?subscription=S1":                                             `409 nobody is connected to subscription "S1"`,
		"emit?subscription=S2&event=meeting.started&set=payload.object.id.x=": `400 set: payload.object.id.x: "x" is a member of what is no object`,
	} {
		status, text := z.post("/control/"+query, "")
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) || strings.Contains(got, "force=true") != (status == 404) || strings.Contains(got, "\n") {
			t.Errorf("%s: %s\nwant %s", query, got, want)
		}
	}
	if n := z.Summary("").Emitted; n != 0 {
		t.Errorf("%d were emitted", n)
	}
	for query, want := range map[string]string{
		"emit?subscription=S2&event=my.own&force=true":                  `"event":"my.own"`,
		"emit?subscription=S1&event=meeting.started&allow-nobody=true":  `"outcome":"nobody"`,
		"meeting?subscription=S1&id=5&allow-nobody=true":                `"meeting":{"id":5,"uuid":"`,
		"emit?subscription=S2&event=meeting.started&set=event=my.other": `"event":"my.other"`,
	} {
		if status, text := z.post("/control/"+query, ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s\nwant %s", query, status, text, want)
		}
	}
}

func TestSamplesOverHTTP(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	_, text := z.get("/control/samples")
	var list struct {
		Samples []string `json:"samples"`
		MadeUp  []string `json:"made_up"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || !slices.Contains(list.Samples, "meeting.started") {
		t.Fatal(err, text)
	}
	all := slices.Concat(list.Samples, list.MadeUp)
	slices.Sort(all)
	for _, name := range eventnames.All() {
		if _, ok := slices.BinarySearch(all, name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"meeting.started", list.MadeUp[0]} {
		if status, text := z.get("/control/samples/" + name); status != 200 || text != string(zoomsim.Body(name)) {
			t.Errorf("%d %s", status, text)
		}
	}
	if status, text := z.get("/control/samples/meeting.sarted"); status != 404 || !strings.Contains(text, "meeting.started") {
		t.Errorf("%d %s", status, text)
	}
}

func TestEmitAndLedgerOverHTTP(t *testing.T) {
	z := onTCP(t, zoomsim.Options{})
	z.post("/control/emit?subscription=S1&event=meeting.started&allow-nobody=true", "")
	p := z.connect("S1")
	z.post("/control/emit?subscription=S1&tracking=T&repeat=2", `{"event":"x.y"}`)
	z.post("/control/raw?subscription=S1", `rubbish`)
	for range 2 {
		if f := p.next(); f.body(t) != `{"event":"x.y"}` || f.Header["x-zm-trackingid"] != "T" {
			t.Errorf("frame %+v", f)
		}
	}
	if data, err := p.raw(); string(data) != "rubbish" {
		t.Errorf("raw %q %v", data, err)
	}
	if err := z.Drain(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	_, text := z.get("/control/ledger?since=1&limit=2")
	var l zoomsim.Ledger
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	if l.Next != 3 || len(l.Entries) != 2 || l.Entries[1].Copy != 1 || l.Entries[0].Event != "x.y" ||
		l.Entries[0].Outcome != zoomsim.Written || l.Entries[0].Socket != 1 || len(l.Sockets) != 1 || l.Sockets[0].Events != 3 {
		t.Errorf("ledger %s", text)
	}
	_, text = z.get("/control/ledger/summary")
	var sums struct {
		Total         zoomsim.Summary
		Subscriptions map[string]zoomsim.Summary
	}
	if err := json.Unmarshal([]byte(text), &sums); err != nil {
		t.Fatal(err)
	}
	if s := sums.Subscriptions["S1"]; s.Emitted != 4 || s.Nobody != 1 || s.Written != 3 || s.Copies != 1 || s.Raw != 1 || s.Live != 1 || sums.Total.Emitted != 4 {
		t.Errorf("summary %s", text)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	z := onTCP(t, zoomsim.Options{LedgerCap: 10})
	for range 25 {
		z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	}
	for range 15 {
		z.dial("S1", "").end()
	}
	l := z.Ledger()
	if len(l.Entries) != 10 || l.Entries[0].N != 16 || l.Entries[9].N != 25 || l.Next != 25 || len(l.Sockets) > 10 {
		t.Errorf("%d entries from %d, %d sockets", len(l.Entries), l.Entries[0].N, len(l.Sockets))
	}
	if l := z.LedgerSince(20, 3); len(l.Entries) != 3 || l.Entries[0].N != 21 || l.Next != 23 {
		t.Errorf("since 20: %+v", l.Entries)
	}
	if l := z.LedgerSince(99, 0); len(l.Entries) != 0 || l.Next != 99 {
		t.Errorf("since 99: %+v", l)
	}
	if sum := z.Summary(""); sum.Emitted != 25 || sum.Nobody != 25 || sum.Sockets != 15 {
		t.Errorf("summary %+v", sum)
	}
}

func TestEntryThatIsGoneIsNotSettled(t *testing.T) {
	z := onTCP(t, zoomsim.Options{LedgerCap: 10})
	z.connect("S1")
	z.Freeze("S1", 0, false)
	z.Emit("S1", zoomsim.Event{Name: "meeting.started"})
	for range 10 {
		z.Emit("S2", zoomsim.Event{Name: "meeting.started"})
	}
	z.Reset()
	z.await("S1", func(s zoomsim.Summary) bool { return s.Written == 1 })
	for _, e := range z.Ledger().Entries {
		if e.Outcome != zoomsim.Nobody {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		defer end()
		for _, text := range []string{"", "explode", "late", "cut?after=soon", "cut?every=-1s", "mute?for=%", "emit?subscription=S1&event=meeting.strated"} {
			if err := new(zoomsim.Order).UnmarshalText([]byte(text)); err == nil {
				t.Errorf("order %q was accepted", text)
			}
		}
		for text, want := range map[string]time.Duration{"cut?after=30s&subscription=S1": 30 * time.Second, "cut?every=1m": time.Minute} {
			var o zoomsim.Order
			if err := o.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error)
			go func() { ran <- o.Run(ctx, z.Sim) }()
			for range 2 {
				start := time.Now()
				z.connect("S1").end()
				if took := time.Since(start); took != want {
					t.Errorf("%s: after %v", text, took)
				}
				if strings.Contains(text, "after") {
					break // it comes once
				}
			}
			cancel()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOrderThatFindsNobody: an order that finds nobody is tried again, and one that takes long ends
// with the simulator.
func TestOrderThatFindsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, end := onPipe(t, zoomsim.Options{})
		ran := make(chan error)
		for _, text := range []string{"emit?subscription=S1&event=meeting.started&every=1s", "meeting?subscription=S2&pace=1h&allow-nobody=true"} {
			var o zoomsim.Order
			if err := o.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
			go func() { ran <- o.Run(t.Context(), z.Sim) }()
		}
		time.Sleep(3 * time.Second)
		p := z.connect("S1")
		for range 2 {
			p.next()
		}
		if one, two := z.Summary("S1"), z.Summary("S2"); one.Nobody != 0 || two.Nobody != 1 {
			t.Errorf("%+v, %+v", one, two)
		}
		end()
		for range 2 {
			if err := <-ran; err != nil {
				t.Error(err)
			}
		}
	})
}
