package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// repliesWait is for replicas that are known and have not answered.
const repliesWait = 500 * time.Millisecond

// askReplicas keeps what the replicas say of themselves.
func (e *exam) askReplicas(ctx context.Context, s *site) {
	if s.missing[hearing] {
		return
	}
	if overview, err := status.Ask(ctx, s.js, status.AskOptions{Bucket: e.cfg.Bucket, Wait: repliesWait}); err == nil {
		s.overview = overview
	}
}

// running is how many replicas answer.
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

// alarms tells of those that replicas have raised.
func (e *exam) alarms(s *site) {
	if s.missing[hearing] {
		e.skip(Alarms, "needs the right to get answers")
		return
	}
	answered, overview := s.running(), s.overview
	if answered == 0 {
		e.skip(Alarms, "no replica answers")
		return
	}
	for _, a := range overview.Alarms {
		e.add(Check{Check: Alarms, Subscription: a.Subscription, Result: Warn, Fix: "docs/runbook.md#" + a.Alarm,
			Detail: fmt.Sprintf("alarm %s is raised since %s by replica %s: %s", a.Alarm, clock(a.Since), a.Replica, a.Detail)})
	}
	switch {
	case len(overview.Alarms) > 0:
	case answered == 1:
		e.pass(Alarms, "no alarm is raised (1 replica answers)")
	default:
		e.pass(Alarms, "no alarm is raised (%d replicas answer)", answered)
	}
}

// answer is what the holder of a lease says of its subscription; nil: nothing.
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
