package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// past is a subscription with a clock of its own.
type past struct {
	*Subscription
	now time.Time
}

func newPast(t *testing.T) *past {
	t.Helper()
	return &past{New("v1", "abc", []string{"s"}).Subscription("s"), time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}
}

// goOn lets periods pass. In each there are so many events, stored with the given lateness.
func (p *past) goOn(periods, events int, late time.Duration) {
	for range periods {
		p.Received.Add(float64(events))
		for range events {
			p.Stored(p.now.Add(time.Second-late), p.now.Add(time.Second), p.now.Add(time.Second))
		}
		p.now = p.now.Add(SamplePeriod)
		p.Sample(p.now)
	}
}

func (p *past) fill(history bool) (s status.Subscription) {
	p.Fill(&s, p.now, history)
	return s
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-9 }

func TestCounted(t *testing.T) {
	p := newPast(t)
	p.Received.Add(7)
	p.Published.Add(4)
	p.RepeatedLocal.Add(2)
	p.RepeatedStream.Inc()
	p.Malformed.Add(3)
	p.Connected()
	p.Connect("dial")
	p.Arrived(p.now.Add(-10*time.Second), p.now.Add(-2*time.Second), p.now)
	p.Stored(p.now.Add(-10*time.Second), p.now, p.now.Add(100*time.Millisecond))
	s := p.fill(true)
	if s.Events != 7 || s.Published != 4 || s.Duplicates != 3 || s.Malformed != 3 || s.Connects != 1 || s.Rate != 0 || s.History != nil {
		t.Errorf("%+v", s)
	}
	for name, c := range map[string]struct {
		got  status.Quantiles
		want float64
	}{"zoom": {s.Zoom, 8}, "delivery": {s.Way, 2}, "storage": {s.Store, 0.1}, "in all": {s.Late, 10.1}} {
		if c.got.Count != 1 || !near(c.got.P50, c.want) || !near(c.got.P99, c.want) {
			t.Errorf("%s: %+v, want %v", name, c.got, c.want)
		}
	}
}

// TestUnknownTimes: a hop counts only if both of its ends are known, and different clocks cause no
// negative durations.
func TestUnknownTimes(t *testing.T) {
	p := newPast(t)
	p.Arrived(time.Time{}, time.Time{}, p.now)
	p.Arrived(p.now, time.Time{}, p.now)
	p.Stored(time.Time{}, p.now, p.now)
	if s := p.fill(false); s.Zoom.Count != 0 || s.Way.Count != 0 || s.Late.Count != 0 || s.Store.Count != 1 {
		t.Errorf("unknown times count: %+v", s)
	}
	p.Arrived(p.now.Add(time.Hour), p.now.Add(time.Minute), p.now)
	p.Stored(p.now.Add(time.Hour), p.now.Add(time.Hour), p.now)
	if s := p.fill(false); s.Zoom != (status.Quantiles{Count: 1}) || s.Way != (status.Quantiles{Count: 1}) || s.Late != (status.Quantiles{Count: 1}) {
		t.Errorf("from the future: %+v", s)
	}
}

func TestRate(t *testing.T) {
	p := newPast(t)
	p.goOn(3, 10, 0)
	if s := p.fill(false); !near(s.Rate, 2) {
		t.Errorf("after ten seconds the rate is %v, want 2", s.Rate)
	}
	p.goOn(100, 10, 0)
	if s := p.fill(false); !near(s.Rate, 2) || s.Events != 1030 {
		t.Errorf("the rate is %v, want 2, of %d events", s.Rate, s.Events)
	}
	p.Received.Add(60) // since the last sample
	if s := p.fill(false); s.Rate < 2.5 {
		t.Errorf("the rate is %v, without what is new", s.Rate)
	}
	p.goOn(1+rateSpan, 0, 0)
	if s := p.fill(false); s.Rate != 0 {
		t.Errorf("after a quiet minute the rate is %v", s.Rate)
	}
}

// TestRateOfANewLeader: the rate counts from when the replica began to lead, since a standby
// receives nothing.
func TestRateOfANewLeader(t *testing.T) {
	p := newPast(t)
	p.goOn(3, 7, 0) // it led before
	p.goOn(2, 0, 0)
	since := p.now
	for _, c := range []struct{ periods, events int }{{0, 0}, {1, 50}, {1, 50}, {10, 50}, {20, 50}} {
		p.goOn(c.periods, c.events, 0)
		s := status.Subscription{Role: status.Leader, Since: since}
		p.Fill(&s, p.now, false)
		if want := min(1, float64(c.periods)) * 10; !near(s.Rate, want) {
			t.Errorf("%s after it began to lead the rate is %v, want %v", p.now.Sub(since), s.Rate, want)
		}
	}
	p.Received.Add(5)
	s := status.Subscription{Role: status.Leader, Since: p.now.Add(10 * time.Millisecond)}
	if p.Fill(&s, p.now.Add(20*time.Millisecond), false); s.Rate > 5.001 {
		t.Errorf("after a moment the rate is %v", s.Rate)
	}
}

// TestLateness: the quantiles cover exactly five minutes.
func TestLateness(t *testing.T) {
	p := newPast(t)
	p.goOn(10, 1, time.Hour)
	p.goOn(40, 1, 3*time.Second)
	if s := p.fill(false); !near(s.Late.P99, 3600) || !near(s.Late.P50, 3) || s.Late.Count != 50 {
		t.Errorf("within five minutes: %+v", s.Late)
	}
	p.goOn(20, 1, 3*time.Second)
	if s := p.fill(false); !near(s.Late.P99, 3) || s.Late.Count != 60 || s.Store.Count != 60 || s.Zoom.Count != 0 || s.Way.Count != 0 {
		t.Errorf("the hours are older than five minutes: %+v", s)
	}
	p.goOn(60, 0, 0)
	if s := p.fill(false); s.Late != (status.Quantiles{}) {
		t.Errorf("after five quiet minutes: %+v", s.Late)
	}
}

// TestQuantiles: the quantiles are those of the latest durations, whatever came before.
func TestQuantiles(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var r recent
		var all []float64
		for range 1 + random.IntN(3*keepRecent) {
			d := time.Duration(random.Int64N(int64(time.Hour)))
			r.note(time.Unix(1, 0), d)
			all = append(all, d.Seconds())
		}
		all = all[max(0, len(all)-keepRecent):]
		slices.Sort(all)
		got := r.quantiles(time.Unix(0, 0))
		at := func(share float64) float64 { return all[int(math.Ceil(share*float64(len(all))))-1] }
		if got.Count != uint64(len(all)) || got.P50 != at(0.5) || got.P99 != at(0.99) {
			t.Errorf("seed %d: %+v of %d, want %v, %v", seed, got, len(all), at(0.5), at(0.99))
		}
	}
}

// TestSamples: the samples cover a quarter of an hour, oldest first. Each is about its own period
// only.
func TestSamples(t *testing.T) {
	p := newPast(t)
	p.goOn(1, 0, 0)
	p.goOn(50, 5, time.Hour)
	p.goOn(keepSamples-1, 10, 3*time.Second)
	if s := p.fill(false); s.History != nil {
		t.Errorf("nobody has asked for %d samples", len(s.History))
	}
	all := p.fill(true).History
	if len(all) != keepSamples || !all[len(all)-1].At.Equal(p.now) || all[0].At.Location() != time.UTC {
		t.Fatalf("%d samples from %v to %v", len(all), all[0].At, all[len(all)-1].At)
	}
	if !slices.IsSortedFunc(all, func(a, b status.Sample) int { return a.At.Compare(b.At) }) {
		t.Error("they are in disorder")
	}
	if first := all[0]; !near(first.Rate, 1) || !near(first.P50, 3600) {
		t.Errorf("the first is %+v", first)
	}
	for _, s := range all[1:] {
		if !near(s.Rate, 2) || !near(s.P50, 3) || !near(s.P99, 3) {
			t.Fatalf("a sample is %+v", s)
		}
	}
	p.goOn(1, 0, 0)
	all = p.fill(true).History
	if last := all[len(all)-1]; last.P50 != 0 || last.Rate != 0 {
		t.Errorf("nothing came, and the last is %+v", last)
	}
	all[0].Rate = -1 // the caller may change its copy
	if again := p.fill(true).History[0]; again.Rate == -1 {
		t.Error("they are shared")
	}
}

// TestClockStands: if the clock stands still, the rate is 0.
func TestClockStands(t *testing.T) {
	p := newPast(t)
	for range 3 {
		p.Received.Inc()
		p.Sample(p.now)
	}
	if s := p.fill(true); s.Rate != 0 || s.History[0].Rate != 0 {
		t.Errorf("%+v", s)
	}
}
