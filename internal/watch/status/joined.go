package status

import (
	"cmp"
	"slices"
	"time"
)

const (
	// historySpan limits a history to the length of a single replica's.
	historySpan = 15 * time.Minute
	// samePeriod is the maximum distance between two replicas' samples of the same period. Each
	// replica takes one every five seconds.
	samePeriod = 4 * time.Second
)

// sampleOf is a sample of one of several replicas; replica 0 is the leader.
type sampleOf struct {
	replica int
	Sample
}

// joined merges the histories of several replicas, the leader's first. A standby's samples are
// zero, so of the samples of one period the one with the highest rate counts, and the leader's if
// they are equal.
func joined(histories [][]Sample) []Sample {
	var all []sampleOf
	sources := 0
	for replica, history := range histories {
		if replica > 0 && !slices.ContainsFunc(history, func(s Sample) bool { return s.Rate > 0 }) {
			continue // it has not led
		}
		sources++
		for _, s := range history {
			all = append(all, sampleOf{replica, s})
		}
	}
	if sources == 1 {
		return histories[0]
	}
	slices.SortStableFunc(all, func(a, b sampleOf) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(a.replica, b.replica))
	})
	var kept []Sample
	slots := make(map[int64][]sampleOf) // samples kept, by time slot
	for _, s := range all {
		slot := s.At.UnixNano() / int64(samePeriod)
		if toldOf(slots[slot-1], s) || toldOf(slots[slot], s) || toldOf(slots[slot+1], s) {
			continue
		}
		slots[slot] = append(slots[slot], s)
		kept = append(kept, s.Sample)
	}
	slices.SortStableFunc(kept, func(a, b Sample) int { return a.At.Compare(b.At) })
	if len(kept) > 0 {
		oldest := kept[len(kept)-1].At.Add(-historySpan)
		kept = slices.DeleteFunc(kept, func(s Sample) bool { return s.At.Before(oldest) })
	}
	return kept
}

// toldOf reports whether a kept sample of another replica covers the same period.
func toldOf(kept []sampleOf, s sampleOf) bool {
	return slices.ContainsFunc(kept, func(k sampleOf) bool {
		return k.replica != s.replica && k.At.Sub(s.At).Abs() <= samePeriod
	})
}
