package app

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// campaign serves a subscription whenever this replica leads it, until ctx ends or a term fails. A
// term's bridge outlives the term: it keeps reading its connection until the successor's displaces
// it, while the next election already runs.
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

// serveTerm serves one term. It returns an error only if another term of this process would fail as
// well. termCtx ends with the term, processCtx when the process is to stop.
func (r *replica) serveTerm(termCtx, processCtx context.Context, endpoint config.Endpoint, t *lease.Term) error {
	cfg := r.o.Config
	log := r.o.Log.With().Str("subscription", endpoint.Subscription).Logger()
	metrics := r.monitor.metrics.Subscription(endpoint.Subscription)
	dialer := zoom.NewDialer(zoom.Config{
		Endpoint: endpoint.URL, Tokens: r.tokens, HTTP: r.o.HTTP, Heartbeat: cfg.Heartbeat, Answered: metrics.RoundTrip, Log: log,
		Permit: func(ctx context.Context) (permitted context.Context, done func(), err error) {
			if err := r.dials.Wait(ctx); err != nil {
				return nil, nil, err
			}
			if jsapi.Elsewhere(r.js) {
				// A leaf node may have lost its hub, where the lease is, without this replica
				// noticing.
				if err := t.Prove(ctx); err != nil {
					return nil, nil, err
				}
			}
			return t.Permit(ctx)
		},
	})
	b := bridge.New(r.js, dialer, bridge.Config{
		Subscription: endpoint.Subscription,
		Term:         bridge.Term{Epoch: t.Epoch, Replica: cfg.Replica, Nonce: r.candidate.Nonce(), Previous: t.From, Released: t.Released, Lease: t},
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
	r.bridges.add(endpoint.Subscription, b)
	return b.Run(termCtx, processCtx)
}

// handover is how long another replica may take to connect. It grows with the number of
// subscriptions taken over at once.
func handover(subscriptions int) time.Duration {
	const one = 2500 * time.Millisecond
	return one + time.Duration(subscriptions)*time.Second/dialsPerSecond
}
