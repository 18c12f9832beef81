package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// repliesWait is how long to wait for known replicas that have not answered.
const repliesWait = 500 * time.Millisecond

// askReplicas asks the replicas for their status.
func (e *exam) askReplicas(ctx context.Context, s *site) {
	if s.missing[hearing] {
		return
	}
	if overview, err := status.Ask(ctx, s.js, status.AskOptions{Bucket: e.cfg.Bucket, Wait: repliesWait}); err == nil {
		s.overview = overview
	}
}

// running returns how many replicas answered.
func (s *site) running() (answered int) {
	if s.overview == nil {
		return 0
	}
	for _, member := range s.overview.Replicas {
		if member.Answered {
			answered++
		}
	}
	return answered
}

// alarms reports the alarms that replicas have raised.
func (e *exam) alarms(s *site) {
	if s.missing[hearing] {
		e.skip(Alarms, "needs permission to receive answers")
		return
	}
	answered, overview := s.running(), s.overview
	if answered == 0 {
		e.skip(Alarms, "no replica answers")
		return
	}
	for _, a := range overview.Alarms {
		e.add(Check{Check: Alarms, Subscription: a.Subscription, Result: Warn, Fix: "docs/runbook.md#" + a.Alarm,
			Detail: fmt.Sprintf("alarm %s is raised (since %s, by replica %s): %s", a.Alarm, clock(a.Since), a.Replica, a.Detail)})
	}
	switch {
	case len(overview.Alarms) > 0:
	case answered == 1:
		e.pass(Alarms, "no alarm is raised (1 replica answers)")
	default:
		e.pass(Alarms, "no alarm is raised (%d replicas answer)", answered)
	}
}

// answer returns what the holder of the lease reports of its subscription; nil: nothing.
func (p *probe) answer(nonce string) *status.Subscription {
	if p.site.overview == nil {
		return nil
	}
	for i := range p.site.overview.Subscriptions {
		line := &p.site.overview.Subscriptions[i]
		if line.Answered && line.LeaderNonce == nonce && line.Subscription.Subscription == p.endpoint.Subscription {
			return &line.Subscription
		}
	}
	return nil
}
