package bridge

import (
	"maps"
	"math"
	"time"
)

const (
	hoursPerWeek = 7 * 24
	// rhythmHours is how far back is remembered: two whole weeks and the present.
	rhythmHours = 3 * hoursPerWeek
	// A silence is suspicious if it covers so many busy hours, in which at least so
	// many events were to be expected.
	silentHours  = 3
	silentEvents = 20
)

// rhythm is how many events a subscription has had in each hour, counted from the
// Unix epoch. It is kept under rhythm.<subscription> in the bucket of the states, so
// that a restart does not forget it.
//
// What is to be expected of an hour is the lesser of what there was in the same hour
// of each of the two weeks before; an hour of which something is to be expected is
// busy. So nothing is expected of nights and weekends, of a burst that came once, of
// the first two weeks, and next to nothing of an account with few events: were events
// to come at random, a silence in which 20 are expected would be one of many millions.
type rhythm struct {
	Hours map[int64]uint32 `json:"hours"`
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// add adds what another one knows, without what is long past or still to come.
func (r *rhythm) add(other rhythm, now time.Time) {
	if r.Hours == nil {
		r.Hours = make(map[int64]uint32)
	}
	for hour, events := range other.Hours {
		r.Hours[hour] += min(events, math.MaxUint32-r.Hours[hour])
	}
	present := hourOf(now)
	maps.DeleteFunc(r.Hours, func(hour int64, _ uint32) bool { return hour <= present-rhythmHours || hour > present+1 })
}

// expected is what was to be expected between two times, in the first week after the
// former, and in how many busy hours. Hours that are only partly in between do not
// count.
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
