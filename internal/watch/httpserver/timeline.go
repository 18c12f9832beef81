package httpserver

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// keepMoments is how many changes of leader are remembered, over all subscriptions.
const keepMoments = 2000

// Leaders remembers who has led which subscription. It is safe for concurrent use.
type Leaders struct {
	mu      sync.Mutex
	last    map[string]string // replica, by subscription
	moments []page.Moment
}

// Leads records who leads a subscription from now on, and how it got the lease, as far as is known.
func (l *Leaders) Leads(subscription, replica, how string, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = make(map[string]string)
	}
	m := page.Moment{At: since.UTC(), Kind: page.KindLeader, Subscription: subscription, Replica: replica, Previous: l.last[subscription]}
	if m.Previous != "" && m.Previous != replica {
		m.Name = how
	}
	l.moments = append(l.moments, m)
	l.moments = l.moments[max(0, len(l.moments)-keepMoments):]
	l.last[subscription] = replica
}

// Moments returns the changes of leader since a time, oldest first.
func (l *Leaders) Moments(since time.Time) (all []page.Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.moments {
		if m.At.After(since) {
			all = append(all, m)
		}
	}
	return all
}
