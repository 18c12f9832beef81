package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/provision"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

const (
	// Pace at which one process opens connections to Zoom, however many subscriptions lose theirs
	// at once.
	dialsPerSecond = 200
	dialsAtOnce    = 20

	// epochTimeout bounds the lookup of earlier epochs before a connection is opened.
	epochTimeout = 2 * time.Second
)

// replica is one replica, ready to serve.
type replica struct {
	o       Options
	monitor *monitor

	nc     *nats.Conn // of js
	js     jetstream.JetStream
	leases *kv.Bucket
	states *kv.Bucket

	candidate *lease.Candidate
	bridges   bridges
	tokens    *zoom.TokenSource
	dials     *rate.Limiter // paces the connections to Zoom

	stream        bridge.Stream
	streamWatch   *streamWatch
	consumerWatch *consumerWatch
	refusedSince  time.Time // since when the stream refuses messages; used by watchAlarms only
	awaySince     time.Time // since when NATS is disconnected; used by watchAlarms only
	outbox        *outbox.Outbox
	spooled       spooled
	quarantine    *bridge.Quarantine

	survivesDenial bool // keeps running although its credentials never worked; used by handleDenied only
}

func newReplica(o Options, m *monitor, js jetstream.JetStream, found *provision.Prepared) (*replica, error) {
	cfg := o.Config
	mode, err := dedupe.ParseMode(cfg.Dedupe)
	if err != nil {
		return nil, err
	}
	r := &replica{
		o: o, monitor: m, nc: js.Conn(), js: js, leases: found.Leases, states: found.States, dials: rate.NewLimiter(dialsPerSecond, dialsAtOnce),
		stream: bridge.Stream{
			Name: cfg.Stream, Prefix: cfg.Prefix, Keys: cfg.SubjectKeys, CloudEvents: cfg.CloudEvents, Dedupe: mode, DuplicateWindow: found.Stream.Config.Duplicates, MaxMessage: max(0, int(found.Stream.Config.MaxMsgSize)),
		},
	}
	r.tokens = zoom.NewTokenSource(zoom.TokenConfig{
		ClientID: cfg.Zoom.ClientID, ClientSecret: cfg.Zoom.ClientSecret, AccountID: cfg.Zoom.AccountID,
		URL: cfg.Zoom.OAuthURL, HTTP: o.HTTP, Reread: m.rereadSecrets, Denied: r.handleDenied, Log: o.Log,
	})
	r.candidate = lease.New(r.nc, found.Leases, lease.Options{
		Bucket: cfg.Bucket, TTL: cfg.LeaseTTL, Replica: cfg.Replica, Subscriptions: subscriptions(cfg),
		Answer: r.bridges.answer, UnsafeFor: r.bridges.unsafeFor, Epoch: r.lastEpoch, Recorded: r.recordedEpoch, Transition: m.countTransition, Changed: m.noteHolder,
		Tick: func() { m.health.Beat("lease") }, Log: o.Log,
	})
	r.openOutbox(found.Stream.State.LastSeq)
	r.streamWatch = newStreamWatch(r, found)
	r.consumerWatch = &consumerWatch{r: r}
	return r, nil
}

// lastEpoch returns the highest epoch of a subscription that NATS knows apart from the lease; 0 and
// a warning if that cannot be read.
func (r *replica) lastEpoch(ctx context.Context, subscription string) uint64 {
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	epoch, err := bridge.LastEpoch(ctx, r.js, r.states, r.o.Config.Stream, subscription)
	if err != nil {
		r.o.Log.Warn().Str("code", "epoch.unread").Err(err).Str("subscription", subscription).Msg("the earlier epochs of the subscription are not known for certain; if the lease bucket was recreated, an epoch may repeat")
	}
	return epoch
}

// recordedEpoch returns the epoch of the term that last recorded a subscription's state.
func (r *replica) recordedEpoch(ctx context.Context, subscription string) (uint64, error) {
	return bridge.RecordedEpoch(ctx, r.states, subscription)
}

// serve campaigns for every subscription until ctx ends or one fails. What runs under servicesCtx
// outlives the campaigns, because successors ask the candidate.
func (r *replica) serve(ctx context.Context, failed <-chan error) error {
	r.monitor.replica.Store(r)
	r.replaceSecrets() // with any that arrived meanwhile
	group, ctx := errgroup.WithContext(ctx)
	servicesCtx, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		select {
		case err := <-failed:
			return fmt.Errorf("the embedded NATS server failed: %w", err)
		case <-servicesCtx.Done():
			return nil
		}
	})
	group.Go(func() error { return r.watchConnection(servicesCtx) })
	group.Go(func() error {
		defer r.monitor.health.Ended("lease")
		return r.candidate.Run(servicesCtx)
	})
	group.Go(func() error {
		defer r.monitor.health.Ended("publishing")
		return r.outbox.Run(servicesCtx)
	})
	alarmsCtx, stopAlarms := context.WithCancel(servicesCtx)
	alarmsDone := make(chan struct{})
	group.Go(func() error {
		defer close(alarmsDone)
		r.watchAlarms(alarmsCtx)
		return nil
	})
	group.Go(func() error {
		r.answerQuestions(servicesCtx)
		return nil
	})
	group.Go(func() error { return ignoreAfterCancel(ctx, r.tokens.Prove(ctx)) })
	group.Go(func() error {
		r.streamWatch.run(servicesCtx)
		return nil
	})
	group.Go(func() error {
		r.consumerWatch.run(servicesCtx)
		return nil
	})
	group.Go(func() error {
		r.handleStepDown(servicesCtx)
		return nil
	})
	campaigns, campaignsCtx := errgroup.WithContext(ctx)
	for _, endpoint := range r.o.Config.Zoom.Endpoints {
		campaigns.Go(func() error { return r.campaign(campaignsCtx, endpoint) })
	}
	group.Go(func() error {
		defer stopServices()
		defer r.candidate.Leave() // before stopServices: from now on nobody may count on this replica
		defer context.AfterFunc(ctx, r.candidate.Leave)()
		err := campaigns.Wait()
		stopAlarms()
		<-alarmsDone // what it publishes last is drained as well
		return errors.Join(err, r.drainOutbox())
	})
	return group.Wait()
}

// answerQuestions serves this replica's status over NATS until the context ends.
func (r *replica) answerQuestions(ctx context.Context) {
	stop, err := status.Serve(r.nc, status.ServiceOptions{
		Bucket: r.o.Config.Bucket, Replica: r.o.Config.Replica, Nonce: r.candidate.Nonce(), Version: r.o.Version,
		Status: r.monitor.status, Seen: r.monitor.repeated.of,
		ErrorHandler: func(err error) {
			r.o.Log.Warn().Str("code", "status.unanswered").Err(err).Msg("a status request was not answered")
		},
	})
	if err != nil {
		r.o.Log.Warn().Str("code", "status.unanswered").Err(err).Msg("status requests over NATS are not answered")
		return
	}
	<-ctx.Done()
	stop()
}

func subscriptions(cfg *config.Config) (all []string) {
	for _, endpoint := range cfg.Zoom.Endpoints {
		all = append(all, endpoint.Subscription)
	}
	return all
}

// replaceable reports whether another replica could lead any subscription.
func (r *replica) replaceable() bool {
	return slices.ContainsFunc(subscriptions(r.o.Config), func(s string) bool { return r.candidate.Standbys(s) > 0 })
}

// leads reports whether this replica leads any subscription.
func (r *replica) leads() bool {
	return slices.ContainsFunc(subscriptions(r.o.Config), func(s string) bool {
		_, leads := r.candidate.Margin(s)
		return leads
	})
}

// watchConnection returns an error when the connection to NATS is closed for good.
func (r *replica) watchConnection(ctx context.Context) error {
	closed := r.nc.StatusChanged(nats.CLOSED)
	defer r.nc.RemoveStatusListener(closed)
	if r.nc.IsClosed() { // closed before the listener was registered
		return nats.ErrConnectionClosed
	}
	select {
	case <-closed:
		return fmt.Errorf("the connection to NATS was closed by the server: %w", cmp.Or(r.nc.LastError(), nats.ErrConnectionClosed))
	case <-ctx.Done():
		return nil
	}
}

// handleStepDown steps down on each request, if another replica could take over.
func (r *replica) handleStepDown(ctx context.Context) {
	for {
		select {
		case <-r.o.StepDown:
			if !r.replaceable() {
				r.o.Log.Warn().Str("code", "stepdown.refused").Msg("told to step down, but no other replica is running that could take over; carrying on")
				continue
			}
			r.o.Log.Info().Str("code", "stepdown").Msg("stepping down as requested")
			r.candidate.StepDown()
		case <-ctx.Done():
			return
		}
	}
}
