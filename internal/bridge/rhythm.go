package bridge

import (
	"slices"
	"time"
)

const (
	hoursPerWeek = 7 * 24
	// rhythmHours is how far back is remembered: two whole weeks and the present.
	rhythmHours = 3 * hoursPerWeek
	// silentHours of those in which there should have been events are suspicious.
	silentHours = 3
)

// rhythm is in which hours a subscription has had events, counted from the Unix
// epoch, oldest first. It is kept under rhythm.<subscription> in the bucket of the
// states, so that a restart does not forget it.
//
// An hour is busy if there were events in the same hour of both weeks before. So
// nights and weekends are not, nor are the hours of an account with few events, and
// in its first two weeks nothing is expected of a subscription.
type rhythm struct {
	Hours []int64 `json:"hours"`
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// note notes that there was an event, and reports whether that is new.
func (r *rhythm) note(at time.Time) bool {
	hour := hourOf(at)
	i, known := slices.BinarySearch(r.Hours, hour)
	if known {
		return false
	}
	r.Hours = slices.Insert(r.Hours, i, hour)
	r.forget(hour - rhythmHours)
	return true
}

// merge adds what another one knows.
func (r *rhythm) merge(other rhythm) {
	r.Hours = append(r.Hours, other.Hours...)
	slices.Sort(r.Hours)
	r.Hours = slices.Compact(r.Hours)
	if n := len(r.Hours); n > 0 {
		r.forget(r.Hours[n-1] - rhythmHours)
	}
}

func (r *rhythm) forget(until int64) {
	r.Hours = slices.DeleteFunc(r.Hours, func(hour int64) bool { return hour <= until })
}

func (r *rhythm) had(hour int64) bool {
	_, known := slices.BinarySearch(r.Hours, hour)
	return known
}

// busy counts the busy hours that lie wholly between two times, in the first week
// after the former.
func (r *rhythm) busy(from, to time.Time) (n int) {
	first := hourOf(from.Add(time.Hour - time.Nanosecond))
	for hour := first; hour < min(hourOf(to), first+hoursPerWeek); hour++ {
		if r.had(hour-hoursPerWeek) && r.had(hour-2*hoursPerWeek) {
			n++
		}
	}
	return n
}
