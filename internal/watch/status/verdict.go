package status

import (
	"errors"
	"fmt"
	"strings"
)

// connected is the value of Subscription.State for a live connection, as in package bridge.
const connected = "connected"

// Connected reports whether the subscription's leader answered and is connected.
func (l *Line) Connected() bool { return l.Answered && l.State == connected }

// Verdict returns an error if something is wrong now: no replica answers, or a subscription in use
// has no connected leader.
func (o *Overview) Verdict() error {
	answered := 0
	for _, m := range o.Replicas {
		if m.Answered {
			answered++
		}
	}
	if answered == 0 {
		return errors.New("no replica answers; what is shown is what the buckets hold")
	}
	used := o.used()
	if used == 0 {
		return errors.New("no subscription is known")
	}
	const named = 5
	var without []string
	for i := range o.Subscriptions {
		if l := &o.Subscriptions[i]; !l.Connected() && !l.Unused {
			without = append(without, Visible(l.Subscription.Subscription))
		}
	}
	if len(without) == 0 {
		return nil
	}
	names := strings.Join(without[:min(len(without), named)], ", ")
	if more := len(without) - named; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%d of %d subscriptions without a connected leader: %s", len(without), used, names)
}

// used counts the subscriptions that replicas are set up for, as far as is known.
func (o *Overview) used() (n int) {
	for i := range o.Subscriptions {
		if !o.Subscriptions[i].Unused {
			n++
		}
	}
	return n
}
