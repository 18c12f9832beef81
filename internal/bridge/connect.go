package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// Renewal says whether a connection is replaced before its token expires.
type Renewal string

// The values. With RenewAuto it is done once Zoom was seen to close a connection
// when its token expired.
const (
	RenewAuto   Renewal = "auto"
	RenewAlways Renewal = "always"
	RenewNever  Renewal = "never"
)

const (
	// tellLongest is how long the events of a new connection wait since it is not known
	// what was before it. They are neither stored nor on disk then.
	tellLongest = 1500 * time.Millisecond
	// orderPatience is how long the frames of a new connection wait for the end
	// of the one that it replaces, so that they come after the old one's.
	orderPatience = 2 * time.Second
	// lingerTimeout is how long a replaced connection may stay open.
	lingerTimeout = 30 * time.Second
	// renewalRetry is the pause after a renewal that failed.
	renewalRetry = 10 * time.Second
)

// reader reads one session.
type reader struct {
	session *zoom.Session
	ctx     context.Context    // ends with the session
	stop    context.CancelFunc // closes the session in an orderly way
	done    chan struct{}      // closed when it has ended
	err     error              // why; after done
	ended   time.Time          // when; after done
}

// live is what reads the connections of a term, two of them while one replaces
// the other.
type live struct {
	b                 *Bridge
	reading, patience context.Context
	readers           sync.WaitGroup
}

// read reads a session. Its first frame waits until told is closed; nil: there is nothing
// to tell.
func (l *live) read(s *zoom.Session, told <-chan struct{}) *reader {
	ctx, stop := context.WithCancel(l.reading)
	r := &reader{session: s, ctx: ctx, stop: stop, done: make(chan struct{})}
	l.readers.Go(func() {
		defer close(r.done)
		defer stop()
		r.err = s.Run(ctx, func(f *zoom.Frame) error {
			if told != nil {
				<-told
			}
			return l.b.handle(l.patience, f)
		})
		r.ended = time.Now()
		l.b.cfg.Metrics.Close(string(cause(r.err)))
	})
	return r
}

// connectLoop returns when the term and its last connection have ended, or the
// credentials are refused. Its error is of what was received and is not stored.
func (b *Bridge) connectLoop(term, process, reading, patience context.Context) error {
	l := &live{b: b, reading: reading, patience: patience}
	defer l.readers.Wait()
	pause := newPauses()
	for b.cfg.Term.Lease.WaitTrusted(term) == nil {
		useful, err := b.connection(term, process, l)
		if lost, ok := errors.AsType[*notStoredError](err); ok {
			return lost
		}
		if term.Err() != nil || reading.Err() != nil { // with the process the term ends too, in any order
			b.cfg.Log.Info().Str("code", "zoom.closed").AnErr("reason", err).AnErr("term", context.Cause(term)).Msg("connection to Zoom closed")
			return nil
		}
		if denied, ok := errors.AsType[*zoom.CredentialsError](err); ok {
			return denied
		}
		b.failed(err)
		wait := pause.next(useful, err)
		if cause(err) == zoom.CauseDisplaced {
			// Another replica, or a stranger? The lease tells: who holds it, or gives it
			// away only now, was displaced by a stranger.
			b.cfg.Log.Warn().Str("code", "zoom.displaced").Msg("displaced: another connection of the subscription was opened; looking at the lease")
			if b.cfg.Term.Lease.Prove(term); b.cfg.Term.Lease.TakenOver() {
				b.journal.classifyEnd(record.HandedOver, "")
				b.cfg.Log.Info().Str("code", "zoom.handed_over").Msg("another replica has taken over")
				return nil
			}
			b.journal.classifyEnd(record.Disconnected, message.GapKicked)
			wait = b.contest.displaced(patience)
		}
		b.cfg.Log.Warn().Str("code", "zoom.disconnected").Str("cause", string(cause(err))).AnErr("error", err).Stringer("pause", wait.Round(time.Millisecond)).Msg("no connection to Zoom; connecting again")
		if sleep(term, wait) != nil {
			return nil
		}
	}
	return nil
}

// connection is one connection from dial to end, whatever sessions replace it in
// between.
func (b *Bridge) connection(term, process context.Context, l *live) (useful bool, err error) {
	s, err := b.dial(term)
	if err != nil {
		return false, err
	}
	told := b.tellBefore(l, time.Now())
	b.contest.connected()
	r := l.read(s, told)
	for next := b.renewalTimer(s); ; {
		select {
		case <-r.done:
			b.cfg.Term.Lease.SetConnected(false)
			b.ended(term, process, r)
			b.session.Store(nil)
			return r.session.Useful(), r.err
		case <-b.contest.inherited: // calm is to be looked at
		case <-b.contest.calm():
			b.contest.clear(l.patience)
		case <-next:
			next = time.After(renewalRetry)
			if term.Err() != nil || !b.renews() {
				continue
			}
			if fresh := b.replace(term, process, l, r); fresh != nil {
				r, next = fresh, b.renewalTimer(fresh.session)
			}
		}
	}
}

func (b *Bridge) dial(ctx context.Context) (*zoom.Session, error) {
	began := time.Now()
	s, err := b.dialer.Dial(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.cfg.Metrics.Connect(string(cause(err)))
		}
		return nil, err
	}
	b.cfg.Metrics.Connected()
	b.trouble.Store(nil)
	b.session.Store(s)
	b.cfg.Term.Lease.SetConnected(true)
	b.connects.Add(1)
	b.firstDial.CompareAndSwap(0, int64(time.Since(s.Dialled())))
	b.cfg.Log.Info().Str("code", "zoom.connected").Uint64("epoch", b.cfg.Term.Epoch).Stringer("took", time.Since(began).Round(100*time.Microsecond)).Msg("connected to Zoom")
	return s, nil
}

// tellBefore tells of the gap before a connection that is ready, and then closes told.
// Until then its events wait in the socket, so the marker comes before the first one:
// the gap since the term's last connection is known here, and that since the term before
// costs a few round trips to NATS. If that takes longer, events go on, and the marker
// follows.
func (b *Bridge) tellBefore(l *live, ready time.Time) (told <-chan struct{}) {
	done := make(chan struct{})
	gaps := b.journal.noteConnected(b.cfg.Clock(ready))
	l.readers.Go(func() {
		defer close(done)
		b.publishGaps(l.patience, gaps) // where there is no room for it, there is none for events
		wait, cancel := context.WithTimeout(l.patience, tellLongest)
		defer cancel()
		select {
		case <-b.journal.adoptionPublished:
		case <-wait.Done():
			if l.patience.Err() == nil {
				b.cfg.Log.Warn().Str("code", "state.unwritten").Msg("what was before this connection cannot be found out and recorded (is NATS away, the bucket sealed or full, is a right missing?); events are read, and a gap marker may come after them")
			}
		}
	})
	return done
}

func (b *Bridge) renews() bool {
	return b.cfg.Renew == RenewAlways || b.cfg.Renew == RenewAuto && b.dialer.ClosesAtExpiry()
}

func (b *Bridge) renewalTimer(s *zoom.Session) <-chan time.Time {
	return time.After(time.Until(s.RenewAt()))
}

// replace opens a new session beside the old one, which Zoom then closes, and
// reads both until it has. It returns nil if it could not.
func (b *Bridge) replace(term, process context.Context, l *live, old *reader) *reader {
	trying, cancel := context.WithCancel(term) // as long as the old one lives
	defer cancel()
	defer context.AfterFunc(old.ctx, cancel)()
	err := b.dialer.Renewable(trying, old.session)
	var s *zoom.Session
	b.renewed.Store(old.session)
	if err == nil {
		s, err = b.dial(trying)
	}
	if err != nil {
		b.renewed.Store(nil)
		b.cfg.Log.Warn().Str("code", "zoom.unrenewed").Err(err).Msg("connection to Zoom not renewed; the old one goes on")
		return nil
	}
	ready := time.Now()
	wait := time.NewTimer(orderPatience)
	defer wait.Stop()
	select {
	case <-old.done:
	case <-wait.C:
	case <-l.reading.Done():
	}
	select {
	case <-old.done:
		b.renewed.Store(nil)
		if old.ended.Before(ready) && cause(old.err) != zoom.CauseDisplaced { // it did not live to see the new one
			b.ended(term, process, old)
			return l.read(s, b.tellBefore(l, ready))
		}
	default:
		l.readers.Go(func() {
			stop := time.AfterFunc(lingerTimeout, old.stop)
			defer stop.Stop()
			<-old.done
			b.renewed.CompareAndSwap(old.session, nil)
		})
	}
	b.cfg.Log.Info().Str("code", "zoom.renewed").Msg("connection to Zoom renewed before its token expires")
	b.journal.noteRenewed(b.cfg.Clock(ready))
	return l.read(s, nil)
}

// ended notes in the journal how a connection ended.
func (b *Bridge) ended(term, process context.Context, r *reader) {
	why, detail := cause(r.err), ""
	if e, ok := errors.AsType[*zoom.Error](r.err); ok {
		detail = e.Error()
	}
	end := func(state record.ConnState, cause message.GapCause) {
		b.journal.noteEnded(state, r.session.LastFrame(), r.session.LiveUntil(r.err), r.ended, cause, detail)
	}
	switch {
	case why == zoom.CauseDisplaced && term.Err() != nil:
		end(record.HandedOver, "")
	case why == zoom.CauseDisplaced:
		end(record.Displaced, "")
	case why == zoom.CauseStopped && process.Err() != nil && b.standbys() > 0:
		end(record.Disconnected, message.GapHandoverTimeout)
	case why == zoom.CauseStopped && process.Err() != nil:
		end(record.Disconnected, message.GapStart)
	default:
		end(record.Disconnected, message.GapDisconnected)
	}
}
