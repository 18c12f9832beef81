package app

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// campaign serves a subscription whenever this replica leads it, until ctx ends or a term
// fails. A term's bridge outlives the term: it reads its connection until the successor's
// displaces it, while the next election is on.
func (r *replica) campaign(ctx context.Context, endpoint config.Endpoint) error {
	terms, ctx := errgroup.WithContext(ctx)
	err := r.candidate.Campaign(ctx, endpoint.Subscription, func(termCtx context.Context, t *lease.Term) error {
		served := make(chan error, 1)
		terms.Go(func() error {
			err := r.serveTerm(termCtx, ctx, endpoint, t)
			served <- err
			return err
		})
		select {
		case err := <-served:
			return err
		case <-termCtx.Done():
			return nil
		}
	})
	return cmp.Or(terms.Wait(), err)
}

// serveTerm serves one term. It returns an error if no other term of this process could
// do better. termCtx ends with the term, processCtx when the process is to stop.
func (r *replica) serveTerm(termCtx, processCtx context.Context, endpoint config.Endpoint, t *lease.Term) error {
	cfg := r.o.Config
	log := r.o.Log.With().Str("subscription", endpoint.Subscription).Logger()
	metrics := r.monitor.metrics.Subscription(endpoint.Subscription)
	dialer := zoom.NewDialer(zoom.Config{
		Endpoint: endpoint.URL, Tokens: r.tokens, HTTP: r.o.HTTP, Heartbeat: cfg.Heartbeat, Answered: metrics.RoundTrip, Log: log,
		Permit: func(ctx context.Context) error {
			if err := r.dials.Wait(ctx); err != nil {
				return err
			}
			return t.WaitTrusted(ctx)
		},
	})
	b := bridge.New(r.js, dialer, bridge.Config{
		Subscription: endpoint.Subscription,
		Term:         bridge.Term{Epoch: t.Epoch, Replica: cfg.Replica, Nonce: r.candidate.Nonce(), Previous: t.From, Lease: t},
		Peers:        r.candidate,
		States:       r.states,
		Stream:       r.stream,
		Outbox:       r.outbox,
		Quarantine:   r.quarantine,
		SecretToken:  func() string { return r.monitor.secrets.Load().secretToken },
		Repeated:     func(id, where string) { r.monitor.repeated.add(id, where, r.monitor.clock(time.Now()).UTC()) },
		Handover:     handover(len(cfg.Zoom.Endpoints)),
		Renew:        bridge.Renewal(cfg.Renew),
		Alarms:       bridge.Alarms{Board: r.monitor.alarms, Late: cfg.AlarmLate, Silent: cfg.AlarmSilent},
		Metrics:      metrics,
		Clock:        r.monitor.clock,
		Log:          log,
	})
	r.bridges.add(endpoint.Subscription, t.Epoch, b)
	return b.Run(termCtx, processCtx)
}

// handover is how long another replica may take to connect: the more
// subscriptions it takes over at once, the longer.
func handover(subscriptions int) time.Duration {
	const one = 2500 * time.Millisecond
	return one + time.Duration(subscriptions)*time.Second/dialsPerSecond
}

// bridges are those of the latest terms, to answer successors' questions.
type bridges struct {
	mu  sync.Mutex
	all map[string][]served // by subscription, the latest last
}

type served struct {
	question string
	bridge   *bridge.Bridge
}

// answerable is how many terms of a subscription can be asked for.
const answerable = 4

func (b *bridges) add(subscription string, epoch uint64, one *bridge.Bridge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[string][]served)
	}
	all := append(b.all[subscription], served{bridge.Question(subscription, epoch), one})
	b.all[subscription] = all[max(0, len(all)-answerable):]
}

// latest is the bridge of a subscription's latest term; nil: there was none.
func (b *bridges) latest(subscription string) *bridge.Bridge {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all[subscription]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1].bridge
}

// unsafeFor is how long ago the oldest of what would be lost with this process came.
func (b *bridges) unsafeFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	until := now
	for _, terms := range b.all {
		for _, s := range terms {
			if at := s.bridge.SafeUntil(); at.Before(until) {
				until = at
			}
		}
	}
	return now.Sub(until)
}

func (b *bridges) answer(question string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	subscription, _, _ := strings.Cut(question, " ")
	for _, s := range b.all[subscription] {
		if s.question == question {
			return s.bridge.Answer()
		}
	}
	return nil
}
