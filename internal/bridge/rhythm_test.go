package bridge

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// monday is the beginning of a week, in UTC.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// office reports whether an hour has events: on weekdays from nine to five.
func office(at time.Time) bool {
	day := at.Weekday()
	return day != time.Saturday && day != time.Sunday && at.Hour() >= 9 && at.Hour() < 17
}

func always(time.Time) bool { return true }

// count counts an event that is received at the given time.
func (r *rhythm) count(at time.Time) { r.merge(rhythm{Hours: map[int64]uint32{hourOf(at): 1}}, at) }

// suspicious reports whether a silence is suspicious.
func (r *rhythm) suspicious(from, to time.Time) bool {
	events, hours := r.expected(from, to)
	return events >= silentEvents && hours >= silentHours
}

// lived counts an event every five minutes while busy, and returns the last one.
func (r *rhythm) lived(from, to time.Time, busy func(time.Time) bool) (last time.Time) {
	for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
		if busy(at) {
			r.count(at)
			last = at
		}
	}
	return last
}

// alarmAfter returns how long after the last event the silence becomes suspicious; 0 if it does not
// within two weeks.
func (r *rhythm) alarmAfter(last time.Time) time.Duration {
	for at := last; at.Before(last.Add(14 * 24 * time.Hour)); at = at.Add(time.Minute) {
		if r.suspicious(last, at) {
			return at.Sub(last)
		}
	}
	return 0
}

func TestSilenceOfABusyAccount(t *testing.T) {
	var r rhythm
	last := r.lived(monday, monday.Add(20*24*time.Hour+90*time.Minute), always)
	if after := r.alarmAfter(last); after < 3*time.Hour || after > 4*time.Hour {
		t.Errorf("an account with events day and night is suspicious after %s", after)
	}
}

func TestFirstTwoWeeks(t *testing.T) {
	for day := range 14 {
		var r rhythm
		last := r.lived(monday, monday.Add(time.Duration(day)*24*time.Hour+12*time.Hour), always)
		at := r.alarmAfter(last)
		if at == 0 {
			continue
		}
		// Only if both weeks before the silence are known.
		if when := last.Add(at); when.Before(monday.Add(14 * 24 * time.Hour)) {
			t.Errorf("suspicious on day %d, after %s", day, at)
		}
	}
}

// TestOffice: silent nights and weekends are not suspicious. A silent workday is, by noon.
func TestOffice(t *testing.T) {
	var r rhythm
	friday := monday.Add(18*24*time.Hour + 17*time.Hour)
	last := r.lived(monday, friday, office)
	if last.Weekday() != time.Friday || last.Hour() != 16 {
		t.Fatal(last)
	}
	at := last.Add(r.alarmAfter(last))
	if at.Weekday() != time.Monday || at.Hour() != 12 || at.Sub(last) > 72*time.Hour {
		t.Errorf("after %s it is suspicious on %s", last, at)
	}
	wednesday := monday.Add(16*24*time.Hour + 11*time.Hour + 30*time.Minute)
	var w rhythm
	last = w.lived(monday, wednesday, office)
	if at := last.Add(w.alarmAfter(last)); at.Day() != wednesday.Day() || at.Hour() != 15 {
		t.Errorf("after %s it is suspicious on %s", last, at)
	}
}

// TestBurstIsNoRhythm: hundreds of events in one week and none in the next are no rhythm.
func TestBurstIsNoRhythm(t *testing.T) {
	var r rhythm
	r.lived(monday.Add(30*time.Hour), monday.Add(40*time.Hour), always)
	last := monday.Add(14*24*time.Hour + 20*time.Hour)
	r.count(last)
	if after := r.alarmAfter(last); after != 0 {
		t.Errorf("suspicious after %s", after)
	}
}

// TestLongSilence: of a long silence, only a week is looked at.
func TestLongSilence(t *testing.T) {
	var r rhythm
	last := r.lived(monday, monday.Add(21*24*time.Hour), always)
	for _, later := range []time.Duration{7 * 24 * time.Hour, 8 * 24 * time.Hour, 15 * 24 * time.Hour, 365 * 24 * time.Hour} {
		if _, n := r.expected(last, last.Add(later)); n < hoursPerWeek-1 || n > hoursPerWeek {
			t.Errorf("%d busy hours in %s", n, later)
		}
	}
	if _, n := r.expected(last, last.Add(-time.Hour)); n != 0 {
		t.Errorf("%d busy hours in no time", n)
	}
	if _, n := r.expected(last, last); n != 0 {
		t.Errorf("%d busy hours in no time", n)
	}
}

// TestQuietAccounts: events at random times, for eight weeks, cause no false alarm. If there are
// few, nobody can say what a silence is; if there are many, no pause is long enough.
func TestQuietAccounts(t *testing.T) {
	for name, open := range map[string]func(time.Time) bool{"day and night": always, "in office hours": office} {
		for _, perDay := range []int{1, 5, 10, 20, 40, 100} {
			t.Run(fmt.Sprintf("%d %s", perDay, name), func(t *testing.T) {
				for seed := range uint64(20) {
					if at := falseAlarm(seed, perDay, open); !at.IsZero() {
						t.Errorf("seed %d: suspicious at %s", seed, at)
					}
				}
			})
		}
	}
}

// falseAlarm returns when a silence between two events of an account is suspicious; zero if none
// is.
func falseAlarm(seed uint64, perDay int, open func(time.Time) bool) time.Time {
	random := rand.New(rand.NewPCG(seed, 1))
	var all []time.Time
	for day := range 8 * 7 {
		midnight := monday.Add(time.Duration(day) * 24 * time.Hour)
		if !open(midnight.Add(12 * time.Hour)) {
			continue
		}
		for n := 0; n < perDay; {
			if at := midnight.Add(time.Duration(random.Int64N(int64(24 * time.Hour)))); open(at) {
				all = append(all, at)
				n++
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	var r rhythm
	for n, at := range all[:len(all)-1] {
		r.count(at)
		if r.suspicious(at, all[n+1]) {
			return at
		}
	}
	return time.Time{}
}

func TestRhythmIsBounded(t *testing.T) {
	var r rhythm
	for n := range 5 * rhythmHours {
		at := monday.Add(time.Duration(n) * time.Hour)
		r.count(at)
		r.count(at.Add(59 * time.Minute))
		if r.Hours[hourOf(at)] != 2 || len(r.Hours) > rhythmHours {
			t.Fatalf("hour %d: %d events, %d hours are kept", n, r.Hours[hourOf(at)], len(r.Hours))
		}
	}
	value, err := json.Marshal(r)
	if err != nil || len(value) > 8<<10 {
		t.Errorf("%d bytes, %v", len(value), err)
	}
}

func TestMergeRhythms(t *testing.T) {
	now := monday.Add(20 * 24 * time.Hour)
	var a, b rhythm
	a.lived(monday, monday.Add(10*24*time.Hour), office)
	b.lived(monday.Add(7*24*time.Hour), now, always)
	want := make(map[int64]uint32)
	for _, r := range []rhythm{a, b} {
		for hour, n := range r.Hours {
			want[hour] += n
		}
	}
	a.merge(b, now)
	if !maps.Equal(a.Hours, want) {
		t.Errorf("%d hours, want %d", len(a.Hours), len(want))
	}
	a.merge(rhythm{}, now)
	if !maps.Equal(a.Hours, want) {
		t.Errorf("nothing changes %d hours", len(a.Hours))
	}
	// The bucket may contain anything that somebody else has written.
	var hostile rhythm
	if err := json.Unmarshal([]byte(`{"hours":{"5":3,"9223372036854775807":4294967295,"-9223372036854775808":7}}`), &hostile); err != nil {
		t.Fatal(err)
	}
	a.merge(hostile, now)
	if !maps.Equal(a.Hours, want) {
		t.Errorf("what cannot be was added: %d hours", len(a.Hours))
	}
}

// TestOneWrongClockIsNoEnd: an event that was noted while the machine's clock was years ahead does
// not count. It does not make the rhythm forget anything else either.
func TestOneWrongClockIsNoEnd(t *testing.T) {
	var r rhythm
	last := r.lived(monday, monday.Add(21*24*time.Hour), always)
	hours := len(r.Hours)
	r.merge(rhythm{Hours: map[int64]uint32{hourOf(last.Add(10 * 365 * 24 * time.Hour)): 1}}, last)
	if len(r.Hours) != hours || r.alarmAfter(last) == 0 {
		t.Errorf("%d of %d hours are left", len(r.Hours), hours)
	}
}
