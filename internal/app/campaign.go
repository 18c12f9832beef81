package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// campaign serves one subscription whenever this replica leads it, until the
// context ends. A term's bridge outlives the term: it reads its connection until
// the successor's displaces it, while the next election is on.
func (r *replica) campaign(ctx context.Context, endpoint config.Endpoint) error {
	var terms sync.WaitGroup
	defer terms.Wait()
	failed := make(chan error, 1)
	failing, fail := context.WithCancel(ctx)
	defer fail()
	err := r.candidate.Campaign(failing, endpoint.Subscription, func(term context.Context, t *lease.Term) error {
		done := make(chan struct{})
		terms.Go(func() {
			defer close(done)
			if err := r.term(term, failing, endpoint, t); err != nil {
				select {
				case failed <- err:
				default:
				}
				fail()
			}
		})
		select {
		case <-done:
		case <-term.Done():
		}
		return nil
	})
	terms.Wait()
	select {
	case first := <-failed:
		return errors.Join(err, first)
	default:
		return err
	}
}

// term serves one term and returns what went wrong for good.
func (r *replica) term(term, process context.Context, endpoint config.Endpoint, t *lease.Term) error {
	cfg := r.o.Config
	log := r.o.Log.With().Str("subscription", endpoint.Subscription).Logger()
	dialer := zoom.NewDialer(zoom.Config{
		Answered: r.monitor.metrics.Subscription(endpoint.Subscription).RoundTrip,
		Endpoint: endpoint.URL, Tokens: r.tokens, HTTP: r.o.HTTP, Heartbeat: cfg.Heartbeat, Log: log,
		Permit: func(ctx context.Context) error {
			if err := r.dials.Wait(ctx); err != nil {
				return err
			}
			return t.WaitTrusted(ctx)
		},
	})
	b := bridge.New(r.nc, dialer, bridge.Config{
		Subscription: endpoint.Subscription, Stream: cfg.Stream, Prefix: cfg.Prefix, Dedupe: r.mode,
		DuplicateWindow: r.stream.Config.Duplicates, SecretToken: func() string { return r.monitor.secrets.Load().secretToken }, Quarantine: r.quarantine, Outbox: r.outbox,
		Term: t, Epoch: t.Epoch, Before: record.State{Replica: t.From.Replica, Nonce: t.From.Nonce, Epoch: t.From.Epoch, Since: t.From.Since}, Replica: cfg.Replica, Nonce: r.candidate.Nonce(), States: r.states,
		Others: func() int { return r.candidate.Others(endpoint.Subscription) }, Handover: handover(len(cfg.Zoom.Endpoints)), Ask: r.candidate.Ask, SafeUntil: r.candidate.SafeUntil,
		Renew: bridge.Renewal(cfg.Renew), Clock: r.o.Clock, Log: log,
		Meter: r.monitor.metrics.Subscription(endpoint.Subscription), Alarms: r.monitor.alarms, Late: cfg.AlarmLate, Silent: cfg.AlarmSilent,
		Repeated: func(id, where string) { r.monitor.repeated.add(id, where, r.monitor.clock(time.Now()).UTC()) },
	})
	r.bridges.add(endpoint.Subscription, t.Epoch, b)
	err := b.Run(term, process)
	summarize(log, t.Epoch, b.Stats())
	return err
}

// handover is how long another replica may take to connect: the more
// subscriptions it takes over at once, the longer.
func handover(subscriptions int) time.Duration {
	const one = 2500 * time.Millisecond
	return one + time.Duration(subscriptions)*time.Second/dialsPerSecond
}

func summarize(log zerolog.Logger, epoch uint64, st bridge.Stats) {
	log.Info().Str("code", "term.ended").Uint64("epoch", epoch).Uint64("events", st.Events).Uint64("stored", st.Line.Acked-st.Line.Duplicates).
		Uint64("duplicates", st.Repeated+st.Line.Duplicates).Uint64("malformed", st.Malformed).Uint64("connects", st.Connects).Msg("subscription ended")
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

// unsafe is how long ago the oldest of what would be lost with this process came.
func (b *bridges) unsafe() time.Duration {
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

func (b *bridges) describe(question string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	subscription, _, _ := strings.Cut(question, " ")
	for _, s := range b.all[subscription] {
		if s.question == question {
			return s.bridge.Describe()
		}
	}
	return nil
}
