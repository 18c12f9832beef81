package bridge

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// monday is the beginning of a week, in UTC.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// office says whether there are events in the hour: on weekdays, from nine to five.
func office(at time.Time) bool {
	day := at.Weekday()
	return day != time.Saturday && day != time.Sunday && at.Hour() >= 9 && at.Hour() < 17
}

func always(time.Time) bool { return true }

// lived notes an event every ten minutes in the hours that it should.
func (r *rhythm) lived(from, to time.Time, busy func(time.Time) bool) (last time.Time) {
	for at := from; at.Before(to); at = at.Add(10 * time.Minute) {
		if busy(at) {
			r.note(at)
			last = at
		}
	}
	return last
}

// alarmAfter is how long after the last event the silence would be suspicious, 0 if
// never within two weeks.
func (r *rhythm) alarmAfter(last time.Time) time.Duration {
	for at := last; at.Before(last.Add(14 * 24 * time.Hour)); at = at.Add(time.Minute) {
		if r.busy(last, at) >= silentHours {
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
		// Only where both weeks before the silence are known.
		if when := last.Add(at); when.Before(monday.Add(14 * 24 * time.Hour)) {
			t.Errorf("suspicious on day %d, after %s", day, at)
		}
	}
}

// TestOffice: neither nights nor weekends say anything, a workday does by noon.
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

// TestBurstIsNoRhythm: hundreds of events in one week, none in the other.
func TestBurstIsNoRhythm(t *testing.T) {
	var r rhythm
	r.lived(monday.Add(30*time.Hour), monday.Add(40*time.Hour), always)
	last := monday.Add(14*24*time.Hour + 20*time.Hour)
	r.note(last)
	if after := r.alarmAfter(last); after != 0 {
		t.Errorf("suspicious after %s", after)
	}
}

// TestLongSilence: a week of it is looked at, and no more.
func TestLongSilence(t *testing.T) {
	var r rhythm
	last := r.lived(monday, monday.Add(21*24*time.Hour), always)
	for _, later := range []time.Duration{7 * 24 * time.Hour, 8 * 24 * time.Hour, 15 * 24 * time.Hour, 365 * 24 * time.Hour} {
		if n := r.busy(last, last.Add(later)); n < hoursPerWeek-1 || n > hoursPerWeek {
			t.Errorf("%d busy hours in %s", n, later)
		}
	}
	if n := r.busy(last, last.Add(-time.Hour)); n != 0 {
		t.Errorf("%d busy hours in no time", n)
	}
	if n := r.busy(last, last); n != 0 {
		t.Errorf("%d busy hours in no time", n)
	}
}

// TestSporadicAccount: five events a day at any time, for eight weeks: what is a
// silence there is nobody's to say.
func TestSporadicAccount(t *testing.T) {
	for name, open := range map[string]func(time.Time) bool{"day and night": always, "in office hours": office} {
		t.Run(name, func(t *testing.T) {
			const seeds, weeks = 50, 8
			alarms, accounts := 0, 0
			for seed := range uint64(seeds) {
				random := rand.New(rand.NewPCG(seed, 1))
				var all []time.Time
				for day := range weeks * 7 {
					for n := 0; n < 5; {
						at := monday.Add(time.Duration(day)*24*time.Hour + time.Duration(random.Int64N(int64(24*time.Hour))))
						if open(at) {
							all = append(all, at)
							n++
						} else if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
							break
						}
					}
				}
				slices.SortFunc(all, time.Time.Compare)
				var r rhythm
				before := alarms
				for n, at := range all {
					r.note(at)
					if n+1 < len(all) && r.busy(at, all[n+1]) >= silentHours {
						alarms++
					}
				}
				if alarms > before {
					accounts++
				}
			}
			if alarms > 0 {
				t.Errorf("%d false alarms in %d of %d accounts within %d weeks", alarms, accounts, seeds, weeks)
			}
		})
	}
}

func TestRhythmIsBounded(t *testing.T) {
	var r rhythm
	for n := range 5 * rhythmHours {
		at := monday.Add(time.Duration(n) * time.Hour)
		if !r.note(at) || r.note(at.Add(59*time.Minute)) {
			t.Fatalf("hour %d is not new once", n)
		}
		if len(r.Hours) > rhythmHours {
			t.Fatalf("%d hours are kept", len(r.Hours))
		}
	}
	if !slices.IsSorted(r.Hours) {
		t.Error("not sorted")
	}
	value, err := json.Marshal(r)
	if err != nil || len(value) > 8<<10 {
		t.Errorf("%d bytes, %v", len(value), err)
	}
}

func TestMerge(t *testing.T) {
	var a, b rhythm
	a.lived(monday, monday.Add(10*24*time.Hour), office)
	b.lived(monday.Add(7*24*time.Hour), monday.Add(20*24*time.Hour), always)
	want := make(map[int64]bool)
	for _, h := range slices.Concat(a.Hours, b.Hours) {
		want[h] = true
	}
	before := slices.Clone(b.Hours)
	a.merge(b)
	if len(a.Hours) != len(want) || !slices.IsSorted(a.Hours) || !slices.Equal(b.Hours, before) {
		t.Errorf("%d hours, want %d", len(a.Hours), len(want))
	}
	a.merge(rhythm{})
	a.merge(a)
	if len(a.Hours) != len(want) {
		t.Errorf("%d hours", len(a.Hours))
	}
	var empty rhythm
	empty.merge(rhythm{})
	if len(empty.Hours) != 0 {
		t.Error("out of nothing")
	}
	// What somebody else has written may be anything.
	var hostile rhythm
	if err := json.Unmarshal([]byte(`{"hours":[5,3,3,9223372036854775807,-9223372036854775808,7]}`), &hostile); err != nil {
		t.Fatal(err)
	}
	var r rhythm
	r.lived(monday, monday.Add(24*time.Hour), always)
	r.merge(hostile)
	if len(r.Hours) > rhythmHours+6 || !slices.IsSorted(r.Hours) {
		t.Errorf("%v", r.Hours)
	}
}

// TestOneWrongClockIsNoEnd: an event that was noted while the machine's clock was
// years ahead does not make the next process forget all others.
func TestOneWrongClockIsNoEnd(t *testing.T) {
	var r rhythm
	r.note(monday.Add(10 * 365 * 24 * time.Hour))
	last := r.lived(monday, monday.Add(21*24*time.Hour), always)
	var next rhythm // of the next process
	next.merge(r)
	if next.alarmAfter(last) == 0 {
		t.Errorf("%d of %d hours are left", len(next.Hours), len(r.Hours))
	}
}
