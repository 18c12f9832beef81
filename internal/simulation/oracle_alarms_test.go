package simulation

import (
	"slices"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// alternate checks that, in the stream's order, each alarm of a subscription is raised and cleared
// in turn, whichever replicas report it. The same holds for each alarm of a replica.
func (v *evidence) alternate() {
	type key struct{ name, subscription, replica string }
	state := make(map[key]message.Alarm)
	for _, m := range v.stored {
		if m.kind() != message.KindAlarm {
			continue
		}
		a, err := message.ParseAlarm(m.data, m.at)
		if err != nil {
			v.blame("Alarm", "message %d is none: %s", m.sequence, m.data)
			continue
		}
		k := key{a.Name, a.Subscription, ""}
		if a.Subscription == "" {
			k.replica = a.Replica
		}
		v.judged["alarm "+a.Name]++
		// A replica that is cut off from NATS cannot know what the next one has reported. After a
		// kill, a restarted replica does not know what it reported before.
		last, known := state[k]
		apart := a.Subscription != "" && (v.natsTrouble(a.At) || known && v.natsTrouble(last.At))
		anew := a.Subscription == "" && known && v.killed(a.Replica, last.At, a.At)
		if !apart && !anew && (!known && !a.Raised || known && last.Raised == a.Raised) {
			v.blame("Alarm "+a.Name, "message %d says again: raised %v (by %s in epoch %d at %s: %s), after %s in epoch %d at %s: %s", m.sequence, a.Raised, a.Replica, a.Epoch, v.clock(a.At), a.Detail,
				last.Replica, last.Epoch, v.clock(last.At), last.Detail)
		}
		state[k] = a
	}
}

// killed reports whether a replica of that name was killed between two times.
func (v *evidence) killed(name string, from, to time.Time) bool {
	return slices.ContainsFunc(v.ran, func(r *replica) bool {
		return r.configured == name && r.dead && !r.stopped.Before(from) && !r.stopped.After(to)
	})
}
