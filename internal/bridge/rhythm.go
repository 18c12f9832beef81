package bridge

import (
	"maps"
	"math"
	"time"
)

const (
	hoursPerWeek = 7 * 24
	// rhythmHours is the number of hours that are kept: two whole weeks and the current one.
	rhythmHours = 3 * hoursPerWeek
	// A silence raises the alarm if it covers silentHours busy hours in which at least
	// silentEvents events were expected.
	silentHours  = 3
	silentEvents = 20
)

// rhythm is the number of a subscription's events in each hour since the Unix epoch. It is
// kept under rhythm.<subscription> in the bucket of the states, so that it survives a
// restart.
//
// An hour is expected to have as many events as the same hour one or two weeks before,
// whichever had fewer. An hour with expected events is busy. So nothing is expected at night,
// on weekends, after a single burst, or in the first two weeks, and next to nothing from an
// account with few events. If events came at random, a silence of 20 expected events would
// happen by chance less than once in many millions.
type rhythm struct {
	Hours map[int64]uint32 `json:"hours"`
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// merge adds another rhythm's counts. It drops hours older than rhythmHours and those more
// than an hour in the future.
func (r *rhythm) merge(other rhythm, now time.Time) {
	if r.Hours == nil {
		r.Hours = make(map[int64]uint32)
	}
	for hour, events := range other.Hours {
		r.Hours[hour] += min(events, math.MaxUint32-r.Hours[hour])
	}
	current := hourOf(now)
	maps.DeleteFunc(r.Hours, func(hour int64, _ uint32) bool { return hour <= current-rhythmHours || hour > current+1 })
}

// expected is the number of events expected between two times, and the number of busy hours
// in which they are expected. It counts only whole hours, and at most a week.
func (r *rhythm) expected(from, to time.Time) (events uint64, hours int) {
	first := hourOf(from.Add(time.Hour - time.Nanosecond))
	for hour := first; hour < min(hourOf(to), first+hoursPerWeek); hour++ {
		if n := min(r.Hours[hour-hoursPerWeek], r.Hours[hour-2*hoursPerWeek]); n > 0 {
			events += uint64(n)
			hours++
		}
	}
	return events, hours
}
