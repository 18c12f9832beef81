// Package bridge joins Zoom and NATS for one subscription: it keeps a session
// open, turns each frame into a message and publishes it in order.
//
//	session --> message (subject, id, headers) --> publisher --> stream
//	   one reader                                    one sender
//
// The reader never waits for an acknowledgement. It waits only when the bounds
// of what may be pending are reached; then it stops reading, and TCP holds Zoom
// back while heartbeats go on.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/publisher"
)

const (
	// flushTimeout bounds the wait for what is still unacknowledged at the end.
	flushTimeout = 10 * time.Second
	// localWindow is how many ids are remembered to save a round trip.
	localWindow = 4096
)

// Config describes one subscription's way into the stream.
type Config struct {
	Subscription    string // Zoom's subscription id
	Stream          string
	Prefix          string // of the subjects
	Dedupe          dedupe.Mode
	DuplicateWindow time.Duration   // of the stream
	LastSequence    uint64          // of the stream before this term
	MaxMessage      int             // the stream's limit in bytes, headers included; 0: none but the server's
	SecretToken     string          // set: signatures are verified
	Secrets         func() []string // masked in malformed frames, besides what looks like a credential; may be nil
	Log             zerolog.Logger
}

// Stats counts what a Bridge did since it was made.
type Stats struct {
	Connects          uint64
	Events            uint64 // received, repetitions included
	Repeated          uint64 // recognised locally and not sent again
	Malformed         uint64
	InvalidSignatures uint64
	Publisher         publisher.Stats
}

// Bridge serves one subscription.
type Bridge struct {
	cfg    Config
	nc     *nats.Conn
	dialer *zoom.Dialer
	pub    *publisher.Publisher
	window *dedupe.Window
	epoch  uint64
	seq    uint64 // of the last message; only the reader touches it

	connects, events, repeated, malformed, invalidSignatures atomic.Uint64

	noisy zerolog.Logger // for what a hostile sender could repeat at will
}

// New returns a Bridge for one term of leadership, whose revision is the epoch.
func New(nc *nats.Conn, dialer *zoom.Dialer, epoch uint64, cfg Config) *Bridge {
	b := &Bridge{
		cfg:    cfg,
		nc:     nc,
		dialer: dialer,
		window: dedupe.NewWindow(localWindow, cfg.DuplicateWindow),
		epoch:  epoch,
		noisy:  cfg.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: 10 * time.Second}),
	}
	b.pub = publisher.New(nc, publisher.Options{
		Stream: cfg.Stream, DuplicateWindow: cfg.DuplicateWindow, After: cfg.LastSequence,
		Refused: b.refused, Changed: b.publishingChanged,
	})
	return b
}

// Stats may be called at any time.
func (b *Bridge) Stats() Stats {
	return Stats{
		Connects:          b.connects.Load(),
		Events:            b.events.Load(),
		Repeated:          b.repeated.Load(),
		Malformed:         b.malformed.Load(),
		InvalidSignatures: b.invalidSignatures.Load(),
		Publisher:         b.pub.Stats(),
	}
}

// Run connects, and connects again, until the context ends; then it publishes
// what it still holds. Call it once. It returns nil if everything received is
// stored, an error if something is not, and a *zoom.CredentialsError if Zoom
// will never accept the app's credentials.
func (b *Bridge) Run(ctx context.Context) error {
	// The publisher outlives the sessions: it ends when all is stored.
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	patience, release := context.WithCancel(publishing) // ends some time after ctx
	defer release()
	defer context.AfterFunc(ctx, func() {
		sleep(patience, flushTimeout) //nolint:errcheck // ends early if released
		release()
	})()
	connecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sender sync.WaitGroup
	sender.Go(func() {
		if err := b.pub.Run(publishing); err != nil {
			cancel(fmt.Errorf("publish: %w", err))
		}
	})
	defer sender.Wait()
	defer stop()

	err := b.connectLoop(connecting, patience)
	if cause := context.Cause(connecting); cause != nil && ctx.Err() == nil {
		err = errors.Join(err, cause)
	}
	return errors.Join(err, b.flush(patience))
}

func (b *Bridge) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := b.pub.Flush(ctx); err != nil {
		st := b.pub.Stats()
		return fmt.Errorf("%d received messages are not stored: %w", st.Pending, errors.Join(err, st.Err))
	}
	return nil
}

// connectLoop returns when the context ends or the credentials are refused. Its
// error is of what was received and is not stored.
func (b *Bridge) connectLoop(ctx, patience context.Context) error {
	pause := newPauses()
	for {
		useful, err := b.session(ctx, patience)
		if lost, ok := errors.AsType[*notStoredError](err); ok {
			return lost
		}
		if ctx.Err() != nil {
			b.cfg.Log.Info().AnErr("reason", err).Msg("connection to Zoom closed")
			return nil
		}
		if denied, ok := errors.AsType[*zoom.CredentialsError](err); ok {
			return denied
		}
		wait := pause.next(useful, err)
		b.cfg.Log.Warn().Str("cause", string(cause(err))).AnErr("error", err).Stringer("pause", wait.Round(time.Millisecond)).Msg("no connection to Zoom; connecting again")
		if sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// session is one connection from dial to end.
func (b *Bridge) session(ctx, patience context.Context) (useful bool, err error) {
	began := time.Now()
	s, err := b.dialer.Dial(ctx)
	if err != nil {
		return false, err
	}
	b.connects.Add(1)
	b.cfg.Log.Info().Uint64("epoch", b.epoch).Stringer("took", time.Since(began).Round(100*time.Microsecond)).Msg("connected to Zoom")
	err = s.Run(ctx, func(f *zoom.Frame) error { return b.handle(patience, f) })
	return s.Useful(), err
}

// handle passes one frame on. Its error is a *notStoredError.
func (b *Bridge) handle(ctx context.Context, f *zoom.Frame) error {
	if f.Err != nil {
		b.malformed.Add(1)
		b.noisy.Warn().AnErr("reason", f.Err).Int("bytes", f.Size).Msg("malformed frame")
		return b.publish(ctx, b.malformedFrame(f))
	}
	b.events.Add(1)
	msg := b.event(f)
	if b.window.Seen(msg.Header[nats.MsgIdHdr][0], f.Received) {
		b.repeated.Add(1)
		return nil
	}
	return b.publish(ctx, msg)
}

// publish hands a message over, waiting for room.
func (b *Bridge) publish(ctx context.Context, msg *nats.Msg) error {
	b.seq++
	b.stamp(msg)
	if err := b.pub.Publish(ctx, msg); err != nil {
		return &notStoredError{msg.Subject, err}
	}
	return nil
}

// notStoredError says that a received frame found no room to the very end.
type notStoredError struct {
	subject string
	err     error
}

func (e *notStoredError) Error() string {
	return fmt.Sprintf("a frame received for %s is not stored: %v", e.subject, e.err)
}

func (e *notStoredError) Unwrap() error { return e.err }

func (b *Bridge) publishingChanged(err error) {
	if err != nil {
		b.cfg.Log.Warn().Err(err).Msg("publishing paused; received events are held and repeated in order")
		return
	}
	b.cfg.Log.Info().Msg("publishing resumed")
}

func cause(err error) zoom.Cause {
	if e, ok := errors.AsType[*zoom.Error](err); ok {
		return e.Cause
	}
	return zoom.CauseToken
}

// pauses are those between connections. They grow until a session was useful.
// After a displacement they are long: somebody else uses the subscription, and
// fighting over it would lose events on both sides.
type pauses struct {
	ordinary, displaced *backoff.ExponentialBackOff
}

func newPauses() *pauses {
	grow := func(first, longest time.Duration) *backoff.ExponentialBackOff {
		return backoff.NewExponentialBackOff(backoff.WithInitialInterval(first), backoff.WithMultiplier(2),
			backoff.WithMaxInterval(longest), backoff.WithMaxElapsedTime(0))
	}
	return &pauses{ordinary: grow(100*time.Millisecond, 30*time.Second), displaced: grow(2*time.Second, 5*time.Minute)}
}

func (p *pauses) next(useful bool, err error) time.Duration {
	e, ok := errors.AsType[*zoom.Error](err)
	if ok && e.Cause == zoom.CauseDisplaced {
		return p.displaced.NextBackOff()
	}
	if useful {
		p.ordinary.Reset()
		p.displaced.Reset()
	}
	wait := p.ordinary.NextBackOff()
	if ok {
		wait = max(wait, e.RetryAfter)
	}
	return wait
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
