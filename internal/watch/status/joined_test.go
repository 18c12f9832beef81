package status

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// samplesOf returns samples with these rates, five seconds apart.
func samplesOf(first time.Time, rates ...float64) (all []Sample) {
	for n, r := range rates {
		all = append(all, Sample{At: first.Add(time.Duration(n) * 5 * time.Second), Rate: r})
	}
	return all
}

// TestJoined: of the samples of one period, the one with the highest rate counts. A replica that
// never led does not count.
func TestJoined(t *testing.T) {
	at := func(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }
	for name, c := range map[string]struct {
		histories [][]Sample
		want      string // seconds:rate
	}{
		"nothing":                {[][]Sample{nil, nil}, ""},
		"one alone":              {[][]Sample{samplesOf(at(0), 5, 0, 5), samplesOf(at(2), 0, 0, 0)}, "0:5 5:0 10:5"},
		"led before":             {[][]Sample{samplesOf(at(0), 0, 0, 0, 4, 5), samplesOf(at(2), 5, 5, 5, 0, 0)}, "2:5 7:5 12:5 20:5"},
		"led before, offset 4.5": {[][]Sample{samplesOf(at(0), 0, 0, 0, 0), samplesOf(at(-0.5), 5, 5, 5, 5)}, "-0.5:5 4.5:5 9.5:5 14.5:5"},
		"its own zeros are true": {[][]Sample{samplesOf(at(0), 0, 0, 0, 0, 0), samplesOf(at(2), 5)}, "2:5 10:0 15:0 20:0"},
		"so are the other's":     {[][]Sample{samplesOf(at(0), 0, 0, 0), samplesOf(at(2), 5, 0, 5)}, "2:5 7:0 12:5"},
		"three":                  {[][]Sample{samplesOf(at(0), 0, 0, 3), samplesOf(at(2), 5, 0, 0), samplesOf(at(1), 0, 4, 0)}, "2:5 10:3"},
		"not the leader's":       {[][]Sample{nil, samplesOf(at(0), 5, 0), samplesOf(at(1), 0, 0)}, "0:5 5:0"},
		"in time":                {[][]Sample{samplesOf(at(0), 1), samplesOf(at(-907), 5, 5, 5)}, "-897:5 0:1"},
	} {
		var got []string
		for _, s := range joined(c.histories) {
			got = append(got, fmt.Sprintf("%v:%v", s.At.Sub(noon).Seconds(), s.Rate))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, " "), c.want)
		}
	}
}

// TestHistoryAfterHandover: the joined history has no sawtooth: one replica's zeros do not
// alternate with the other's events.
func TestHistoryAfterHandover(t *testing.T) {
	w := newWorld(t)
	w.buckets()
	e := w.lease("sub-1", "b", 2)
	old, now := standsBy("sub-1", "b", e), leads("sub-1", "b", 2)
	const n = 180
	first := time.Now().Add(-n * 5 * time.Second)
	for i := range n {
		at, a, b := first.Add(time.Duration(i)*5*time.Second), 5.0, 0.0
		if i > n/2 {
			a, b = 0, 5
		}
		old.History = append(old.History, Sample{At: at.Add(-2 * time.Second), Rate: a})
		now.History = append(now.History, Sample{At: at, Rate: b})
	}
	w.serve(w.connect(), hears(made("a", old), "b"))
	w.serve(w.connect(), hears(made("b", now), "a"))
	o, _ := w.ask(w.connect(), AskOptions{History: true, Wait: 30 * time.Second})
	h := o.Subscriptions[0].History
	for i, s := range h {
		if s.Rate != 5 || i > 0 && s.At.Sub(h[i-1].At) > 10*time.Second {
			t.Fatalf("sample %d of %d is %+v", i, len(h), s)
		}
	}
	if len(h) < n-2 || len(h) > n+1 || h[len(h)-1].At.Sub(h[0].At) > 15*time.Minute {
		t.Errorf("%d samples, from %s to %s", len(h), h[0].At, h[len(h)-1].At)
	}
}

func TestNatural(t *testing.T) {
	names := []string{"", "10", "a", "sub", "sub-", "sub-01", "sub-1", "sub-1a", "sub-2", "sub-10", "sub-10-2", "sub-10-10", "sub-99999999999999999999999", "sub-a", "suc"}
	for i, a := range names {
		for j, b := range names {
			if got := natural(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}

// TestRateAcrossLeaders: the rate is that of the subscription, whoever led in the last minute and
// whether that replica still answers or not.
func TestRateAcrossLeaders(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		leads           time.Duration // how long the new leader has led
		rate, before    float64
		want            float64
		nobodyAnswering bool
	}{
		"one leader":                  {leads: time.Hour, rate: 10, want: 10},
		"handover, 6 s ago":           {leads: 6 * time.Second, rate: 10, before: 9, want: 10}, // 540 of 600 events
		"handover, this moment":       {leads: 0, rate: 0, before: 10, want: 10},
		"handover, long ago":          {leads: 2 * time.Minute, rate: 10, want: 10},
		"crash, 6 s ago":              {leads: 6 * time.Second, rate: 10, want: 10},
		"clocks differ":               {leads: -time.Second, rate: 10, before: 9, want: 9},
		"the new leader says nothing": {rate: 0, before: 9, want: 9, nobodyAnswering: true},
	} {
		b := &Replica{Replica: "b", Nonce: "b", Now: now, Subscriptions: []Subscription{{Subscription: "s", Role: Leader, Since: now.Add(-c.leads), Rate: c.rate, Epoch: 2}}}
		a := &Replica{Replica: "a", Nonce: "a", Now: now, Subscriptions: []Subscription{{Subscription: "s", Role: Standby, Rate: c.before}}}
		answers := map[string]*Replica{"a": a, "b": b}
		if c.nobodyAnswering {
			delete(answers, "b")
		}
		if got := merge("zoomstream", now, answers, buckets{}, nil).Subscriptions[0].Rate; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
