package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// Renewal is whether a connection is replaced before its token expires.
type Renewal string

// The values. RenewAuto renews once Zoom was seen to close a connection when its token
// expired.
const (
	RenewAuto   Renewal = "auto"
	RenewAlways Renewal = "always"
	RenewNever  Renewal = "never"
)

const (
	// maxEventDelay is how long the events of a new connection wait to learn whether there
	// was a gap before it. Meanwhile they are neither stored nor on disk.
	maxEventDelay = 1500 * time.Millisecond
	// orderTimeout is how long the frames of a renewed connection wait for the end of the
	// old one, so that they come after the old one's.
	orderTimeout = 2 * time.Second
	// lingerTimeout is how long a replaced connection may stay open.
	lingerTimeout = 30 * time.Second
	// renewalRetry is the pause after a failed renewal.
	renewalRetry = 10 * time.Second
)

// connector keeps a term connected to Zoom and reads its connections: two of them while
// one replaces the other.
type connector struct {
	b          *Bridge
	termCtx    context.Context // ends with the term: no more connections are opened
	processCtx context.Context // ends when the process is to stop
	readCtx    context.Context // ends when connections are to be closed
	drainCtx   context.Context // ends when what was received can no longer be handed over
	readers    sync.WaitGroup
}

// run returns when the term and its last connection have ended. It returns a *notStoredError
// if something received was not handed over, and a *zoom.CredentialsError if Zoom will never
// accept the credentials.
func (c *connector) run() error {
	defer c.readers.Wait()
	b := c.b
	backoff := newRedialBackoff()
	for b.cfg.Term.Lease.WaitTrusted(c.termCtx) == nil {
		useful, err := c.connect()
		if lost, ok := errors.AsType[*notStoredError](err); ok {
			return lost
		}
		if c.termCtx.Err() != nil || c.readCtx.Err() != nil { // the term ends with the process, but the two may be seen in any order
			b.cfg.Log.Info().Str("code", "zoom.closed").AnErr("reason", err).AnErr("term", context.Cause(c.termCtx)).Msg("connection to Zoom closed")
			return nil
		}
		if denied, ok := errors.AsType[*zoom.CredentialsError](err); ok {
			return denied
		}
		b.setTrouble(err)
		pause := backoff.next(useful, err)
		if causeOf(err) == zoom.CauseDisplaced {
			// By another replica or by a stranger? If this replica holds the lease, or gives it
			// away only now, it was a stranger.
			b.cfg.Log.Warn().Str("code", "zoom.displaced").Msg("displaced: another connection to the subscription was opened; checking the lease")
			if b.cfg.Term.Lease.Prove(c.termCtx); b.cfg.Term.Lease.TakenOver() {
				b.journal.setEnd(record.HandedOver, "")
				b.cfg.Log.Info().Str("code", "zoom.handed_over").Msg("another replica has taken over")
				return nil
			}
			b.journal.setEnd(record.Disconnected, message.GapKicked)
			pause = b.contest.handleDisplaced(c.drainCtx)
		}
		b.cfg.Log.Warn().Str("code", "zoom.disconnected").Str("cause", string(causeOf(err))).AnErr("error", err).Stringer("pause", pause.Round(time.Millisecond)).Msg("no connection to Zoom; connecting again")
		if sleep.For(c.termCtx, pause) != nil {
			return nil
		}
	}
	return nil
}

// connect opens a connection, and reads it and those that replace it to the end. It reports
// whether the last one was useful, and returns why it ended.
func (c *connector) connect() (useful bool, err error) {
	b := c.b
	session, err := c.dial(c.termCtx)
	if err != nil {
		return false, err
	}
	published := c.publishGapsBefore(time.Now())
	b.contest.handleConnected()
	r := c.read(session, published)
	for renewal := renewalTimer(session); ; {
		select {
		case <-r.done:
			b.cfg.Term.Lease.SetConnected(false)
			c.noteEnded(r)
			b.session.Store(nil)
			return r.session.Useful(), r.err
		case <-b.contest.adopted: // lasted must be called again
		case <-b.contest.lasted():
			b.contest.clear(c.drainCtx)
		case <-renewal:
			renewal = time.After(renewalRetry)
			if c.termCtx.Err() != nil || !b.renews() {
				continue
			}
			if next := c.renew(r); next != nil {
				r, renewal = next, renewalTimer(next.session)
			}
		}
	}
}

func (c *connector) dial(ctx context.Context) (*zoom.Session, error) {
	b := c.b
	began := time.Now()
	session, err := b.dialer.Dial(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.cfg.Metrics.Connect(string(causeOf(err)))
		}
		return nil, err
	}
	b.cfg.Metrics.Connected()
	b.trouble.Store(nil)
	b.session.Store(session)
	b.cfg.Term.Lease.SetConnected(true)
	b.connects.Add(1)
	b.firstDial.CompareAndSwap(0, int64(time.Since(session.Dialled())))
	b.cfg.Log.Info().Str("code", "zoom.connected").Uint64("epoch", b.cfg.Term.Epoch).Stringer("took", time.Since(began).Round(100*time.Microsecond)).Msg("connected to Zoom")
	return session, nil
}

// publishGapsBefore publishes the gap markers before a connection that is ready, and then
// closes published. Until then the connection's events wait in the socket, so that the
// markers are stored before them. A gap since this term's last connection is known at once.
// Finding one since the previous term takes a few round trips to NATS. If these take longer
// than maxEventDelay, the events go ahead and the marker follows.
func (c *connector) publishGapsBefore(ready time.Time) (published <-chan struct{}) {
	b := c.b
	done := make(chan struct{})
	gaps := b.journal.noteConnected(b.cfg.Clock(ready))
	c.readers.Go(func() {
		defer close(done)
		b.publishGaps(c.drainCtx, gaps) // where there is no room for it, there is none for events
		waitCtx, cancel := context.WithTimeout(c.drainCtx, maxEventDelay)
		defer cancel()
		select {
		case <-b.journal.adoptionPublished:
		case <-waitCtx.Done():
			if c.drainCtx.Err() == nil {
				b.cfg.Log.Warn().Str("code", "state.unwritten").Msg("cannot find out and record what happened before this connection (is NATS unreachable, the bucket sealed or full, a permission missing?); events are read all the same, and a gap marker may come after them")
			}
		}
	})
	return done
}

// sessionReader reads one session.
type sessionReader struct {
	session *zoom.Session
	ctx     context.Context    // ends with the session
	stop    context.CancelFunc // closes the session in an orderly way
	done    chan struct{}      // closed when the session has ended
	err     error              // why it ended; only after done
	ended   time.Time          // when it ended; only after done
}

// read starts reading a session. The first frame waits until gapsPublished is closed, or
// not at all if that is nil.
func (c *connector) read(session *zoom.Session, gapsPublished <-chan struct{}) *sessionReader {
	ctx, stop := context.WithCancel(c.readCtx)
	r := &sessionReader{session: session, ctx: ctx, stop: stop, done: make(chan struct{})}
	c.readers.Go(func() {
		defer close(r.done)
		defer stop()
		r.err = session.Run(ctx, func(f *zoom.Frame) error {
			if gapsPublished != nil {
				<-gapsPublished
			}
			return c.b.handleFrame(c.drainCtx, f)
		})
		r.ended = time.Now()
		c.b.cfg.Metrics.Close(string(causeOf(r.err)))
	})
	return r
}

func (b *Bridge) renews() bool {
	return b.cfg.Renew == RenewAlways || b.cfg.Renew == RenewAuto && b.dialer.ClosesAtExpiry()
}

func renewalTimer(s *zoom.Session) <-chan time.Time {
	return time.After(time.Until(s.RenewAt()))
}

// renew opens a new session beside the old one, and keeps reading the old one until Zoom
// closes it. It returns nil if the new one could not be opened.
func (c *connector) renew(old *sessionReader) *sessionReader {
	b := c.b
	dialCtx, cancel := context.WithCancel(c.termCtx)
	defer cancel()
	defer context.AfterFunc(old.ctx, cancel)()
	err := b.dialer.Renewable(dialCtx, old.session)
	var session *zoom.Session
	b.replaced.Store(old.session)
	if err == nil {
		session, err = c.dial(dialCtx)
	}
	if err != nil {
		b.replaced.Store(nil)
		b.cfg.Log.Warn().Str("code", "zoom.unrenewed").Err(err).Msg("connection to Zoom not renewed; keeping the old one")
		return nil
	}
	ready := time.Now()
	wait := time.NewTimer(orderTimeout)
	defer wait.Stop()
	select {
	case <-old.done:
	case <-wait.C:
	case <-c.readCtx.Done():
	}
	select {
	case <-old.done:
		b.replaced.Store(nil)
		if old.ended.Before(ready) && causeOf(old.err) != zoom.CauseDisplaced { // there may be a gap
			c.noteEnded(old)
			return c.read(session, c.publishGapsBefore(ready))
		}
	default:
		c.readers.Go(func() {
			stop := time.AfterFunc(lingerTimeout, old.stop)
			defer stop.Stop()
			<-old.done
			b.replaced.CompareAndSwap(old.session, nil)
		})
	}
	b.cfg.Log.Info().Str("code", "zoom.renewed").Msg("connection to Zoom renewed before its token expires")
	b.journal.noteRenewed(b.cfg.Clock(ready))
	return c.read(session, nil)
}

// noteEnded records in the journal how a connection ended.
func (c *connector) noteEnded(r *sessionReader) {
	detail := ""
	if e, ok := errors.AsType[*zoom.Error](r.err); ok {
		detail = e.Error()
	}
	state, gap := c.classifyEnd(causeOf(r.err))
	c.b.journal.noteEnded(state, r.session.LastFrame(), r.session.LiveUntil(r.err), r.ended, gap, detail)
}

// classifyEnd returns the state after the end of a connection, and the cause of the gap that
// may follow.
func (c *connector) classifyEnd(cause zoom.Cause) (record.ConnState, message.GapCause) {
	stopped := cause == zoom.CauseStopped && c.processCtx.Err() != nil
	switch {
	case cause == zoom.CauseDisplaced && c.termCtx.Err() != nil:
		return record.HandedOver, ""
	case cause == zoom.CauseDisplaced:
		return record.Displaced, ""
	case stopped && c.b.standbys() > 0:
		return record.Disconnected, message.GapHandoverTimeout
	case stopped:
		return record.Disconnected, message.GapStart
	}
	return record.Disconnected, message.GapDisconnected
}
