package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/status"
)

// repliesWait is for replicas that are known and have not answered.
const repliesWait = 500 * time.Millisecond

// alarms asks the replicas which ones are raised, and keeps what they say.
func (e *exam) alarms(ctx context.Context, s *site) {
	if s.missing["subscribe _INBOX.>"] {
		e.skip(Alarms, "needs the right to get answers")
		return
	}
	overview, err := status.Ask(ctx, s.nc, status.AskOptions{Bucket: e.cfg.Bucket, Wait: repliesWait})
	answered := 0
	if err == nil {
		s.overview = overview
		for _, member := range overview.Replicas {
			if member.Answered {
				answered++
			}
		}
	}
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
