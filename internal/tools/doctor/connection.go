package doctor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/zoom"
)

const (
	// zoomTimeout bounds the whole check of a connection.
	zoomTimeout = 20 * time.Second
	// heartbeatTimeout is how long Zoom may take to answer the first heartbeat.
	heartbeatTimeout = 5 * time.Second
)

// try connects while it holds the lease, and releases it.
func (p *probe) try(ctx context.Context, a *app, who holder) {
	ctx, cancel := context.WithTimeout(ctx, zoomTimeout)
	defer cancel()
	permit := p.stillNoBucket
	switch {
	case who.fresh:
		p.because = "; tried because this NATS knows of no zoomstream"
	case p.site == nil || who.unknown:
		p.because, permit = "; tried because of --connect", func(context.Context) error { return nil }
	}
	if who.leases == nil {
		p.connect(ctx, a, permit)
		return
	}
	held, err := take(ctx, p.site, p.cfg, who.leases, p.endpoint.Subscription, who.revision)
	if taken, ok := errors.AsType[*takenError](err); ok {
		p.add(Connection, Skip, "", "not connecting: replica %s has just taken the lease", taken.replica)
		return
	}
	if err != nil {
		p.add(Connection, Fail, askFix, "not connecting: the lease cannot be taken for the duration of the check: %v", err)
		return
	}
	limited, end := context.WithDeadlineCause(ctx, held.until, errExpiring)
	defer end()
	p.connect(limited, a, held.permit)
	if err := held.release(ctx); err != nil {
		p.add(Lease, Warn, "nothing to do: it expires within "+p.cfg.LeaseTTL.String(), "the lease taken for the check could not be given back: %v", err)
	}
}

// stillNoBucket refuses the connection once replicas have created their bucket.
func (p *probe) stillNoBucket(ctx context.Context) error {
	_, err := p.site.js.Stream(ctx, "KV_"+p.cfg.Bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.New("a replica has just started")
}

// connect opens the connection, waits for the answer to a heartbeat, and closes it.
func (p *probe) connect(ctx context.Context, a *app, permit func(context.Context) error) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	var roundTrip atomic.Int64 // of the heartbeat, in ns; 0: not answered
	dialer := zoom.NewDialer(zoom.Config{
		Endpoint: p.endpoint.URL, Tokens: a.tokens, HTTP: p.o.HTTP, Heartbeat: p.cfg.Heartbeat, Log: zerolog.Nop(),
		Permit: func(ctx context.Context) (context.Context, func(), error) {
			return context.WithoutCancel(ctx), func() {}, permit(ctx)
		},
		Answered: func(took time.Duration) {
			roundTrip.CompareAndSwap(0, max(1, int64(took)))
			leave()
		},
	})
	began := time.Now()
	session, err := dialer.Dial(ctx)
	if token := a.tokens.Cached(); token != "" { // a refused token was replaced
		p.secrets = append(p.secrets, token)
	}
	if err != nil {
		p.refused(a, err)
		return
	}
	p.add(Connection, Pass, "", "ready (build_connection) after %s%s", round(time.Since(began)), p.because)

	patience := time.AfterFunc(heartbeatTimeout, leave)
	defer patience.Stop()
	events, malformed, ready := 0, 0, time.Now()
	err = session.Run(ctx, func(f *zoom.Frame) error {
		if f.Err != nil {
			malformed++
		} else {
			events++
		}
		return nil
	})
	switch ended, ok := errors.AsType[*zoom.Error](err); {
	case roundTrip.Load() > 0:
		p.add(Heartbeat, Pass, "", "answered after %s; the connection was closed again after %s", round(time.Duration(roundTrip.Load())), round(time.Since(ready)))
	case ok && ended.Cause != zoom.CauseStopped:
		p.add(Heartbeat, Fail, a.dialFix(ended), "the connection ended before a heartbeat was answered: %v", err)
	default:
		p.add(Heartbeat, Fail, "check https://status.zoom.us and run doctor again", "Zoom did not answer it in time")
	}
	if events+malformed > 0 {
		p.add(EventsMissed, Warn, "fetch them from Zoom's API if they matter: they came while no replica was connected",
			"%s arrived meanwhile and were not stored (%d of them malformed)", count(events+malformed, "event"), malformed)
	}
}

// refused reports a connection that did not become ready.
func (p *probe) refused(a *app, err error) {
	if denied, ok := errors.AsType[*zoom.CredentialsError](err); ok {
		p.exam.add(Check{Check: Connection, Subscription: p.endpoint.Subscription, Result: Fail, Detail: err.Error(), Fix: denied.Advice, final: true})
		return
	}
	failed, ok := errors.AsType[*zoom.Error](err)
	if !ok { // from the permit, or a timeout
		p.add(Connection, Fail, "run doctor again", "not connected: %v", err)
		return
	}
	p.add(Connection, Fail, a.dialFix(failed), "%v", err)
}
