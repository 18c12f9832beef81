// Package bridge joins Zoom and NATS for one subscription and one term of
// leadership: it keeps a session open, turns each frame into a message and
// publishes it in order.
//
//	session --> message (subject, id, headers) --> outbox --> stream
//	   one reader                                 of the process
//
// The reader never waits for an acknowledgement. It waits only when the bounds
// of what may be pending are reached; then it stops reading, and TCP holds Zoom
// back while heartbeats go on.
//
// A connection is opened only while the term is trusted. When the term is over,
// the connection is not closed: it is read until Zoom closes it because the
// successor has connected, so that no event finds nobody.
//
// Whenever a connection is ready, the journal says whether there was a gap before
// it, and a marker is published ahead of its first event.
package bridge

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/metrics"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

const (
	// flushTimeout bounds the wait for room at the end.
	flushTimeout = 5 * time.Second
	// settleTimeout bounds the wait for acknowledgements at the end, so that Stats
	// count them. What has none then is in the outbox's care.
	settleTimeout = time.Second
	// handoverCheck is how often a replica that waits for another one to connect
	// looks whether there still is one.
	handoverCheck = 100 * time.Millisecond
	// localWindow is how many ids are remembered to save a round trip.
	localWindow = 4096
)

// Lease is what a Bridge needs of the lease under which it connects.
type Lease interface {
	// WaitTrusted waits until a connection may be opened.
	WaitTrusted(context.Context) error
	// Prove waits for proof, begun after the call, that the lease is still held.
	Prove(context.Context) error
	// SetConnected notes whether there is a live connection.
	SetConnected(bool)
	// TakenOver reports whether a later term was seen.
	TakenOver() bool
}

// Term identifies a term of leadership.
type Term struct {
	Epoch   uint64
	Replica string // its leader's name
	Nonce   string // its leader's process
	// Previous is the lease that this term took from a leader that had not released it;
	// zero: it was free.
	Previous record.Lease
	Lease    Lease
}

// Stream is the JetStream stream that a process publishes to.
type Stream struct {
	Name            string
	Prefix          string // of the subjects
	Dedupe          dedupe.Mode
	DuplicateWindow time.Duration
	MaxMessage      int // its limit in bytes, headers included; 0: none but the server's
}

// Peers are the other replicas.
type Peers interface {
	// Standbys is how many would take the lease of a subscription if it were free.
	Standbys(subscription string) int
	// Ask returns the answer of the process with a nonce (see Question).
	Ask(ctx context.Context, nonce, question string) ([]byte, error)
	// SafeUntil is the [Bridge.SafeUntil] that the process with a nonce last reported;
	// zero: none.
	SafeUntil(nonce string) time.Time
}

// Alarms is where the subscription's alarms are raised, and when.
type Alarms struct {
	Board  *alarm.Board  // of the process
	Late   time.Duration // threshold of the alarm late; 0: off
	Silent time.Duration // threshold of the alarm silent; 0: off; below: by the subscription's rhythm
}

// Config describes one term of one subscription. Every field is needed.
type Config struct {
	Subscription string // Zoom's subscription id
	Term         Term
	Peers        Peers
	States       *kv.Bucket // of the subscriptions' states

	Stream     Stream
	Outbox     *outbox.Outbox // to the stream
	Quarantine *Quarantine
	// SecretToken returns the token that verifies signatures; "": they are not verified.
	SecretToken func() string
	// Repeated is told of each message that was received before, and where that was
	// recognised: local or stream.
	Repeated func(id, where string)

	// Handover is how long another replica may take to connect when this one stops.
	Handover time.Duration
	Renew    Renewal

	Alarms  Alarms
	Metrics *metrics.Subscription // counts over all terms
	// Clock maps a time to this machine's wall clock.
	Clock func(time.Time) time.Time
	Log   zerolog.Logger
}

// Bridge serves one subscription for one term.
type Bridge struct {
	cfg       Config
	js        jetstream.JetStream
	dialer    *zoom.Dialer
	line      *outbox.Line
	window    *dedupe.Window
	journal   *journal
	contest   *contest
	late      lateness
	born      time.Time
	termEnded atomic.Bool
	firstDial atomic.Int64 // how long it took; 0: none has succeeded
	session   atomic.Pointer[zoom.Session]
	renewed   atomic.Pointer[zoom.Session] // that the one above replaces; nil: it has ended
	trouble   atomic.Pointer[string]       // why there is no connection; nil: there is one, or none was tried

	subscription, epoch []string // as values of headers: all messages share them

	turn chan struct{} // held by who hands a message over: it may wait for room

	// The fields below belong to who holds turn.

	seq      uint64                // of the last message
	names    map[string]*eventName // of the events seen
	verifier zoom.Verifier

	connects, events, repeated, malformed atomic.Uint64
	lastEvent                             atomic.Int64              // Unix nanoseconds
	previousLastEvent                     atomic.Pointer[time.Time] // the last one of the term before

	badFrames, badSignatures, everyEvent zerolog.Logger // sampled
}

// New returns a Bridge.
func New(js jetstream.JetStream, dialer *zoom.Dialer, cfg Config) *Bridge {
	b := &Bridge{
		cfg:    cfg,
		js:     js,
		dialer: dialer,
		born:   time.Now(),
		window: dedupe.NewWindow(localWindow, cfg.Stream.DuplicateWindow),
		turn:   make(chan struct{}, 1),

		subscription: []string{cfg.Subscription}, epoch: []string{strconv.FormatUint(cfg.Term.Epoch, 10)},

		badFrames: sampled(cfg.Log), badSignatures: sampled(cfg.Log),
		everyEvent: cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
	}
	b.journal = newJournal(b)
	b.contest = newContest(b)
	b.line = cfg.Outbox.Line(cfg.Subscription, b.epoch[0], b.stored)
	return b
}

// Answer is the state of the connection, as the successor wants to know it. It
// may be called at any time, also when Run has returned.
func (b *Bridge) Answer() []byte { return b.journal.answer() }

// SafeUntil is until when there was a connection of this term, or its end is recorded,
// and all that Zoom sent is read, and stored or on disk: with the end of the process
// nobody would know of what is lost after that. It may be called at any time.
func (b *Bridge) SafeUntil() time.Time {
	// In the order in which a message passes, or one on its way could be missed.
	until := time.Now()
	if lost := b.journal.unrecordedEnd.Load(); lost != 0 {
		until = earlier(until, time.Unix(0, lost))
	}
	for _, session := range []*zoom.Session{b.session.Load(), b.renewed.Load()} {
		if session != nil {
			until = earlier(until, session.ReadUntil())
		}
	}
	note, accepted := b.line.OldestUnsafe()
	return earlier(until, zoom.SentBy(note.Sent, accepted))
}

// earlier is the earlier of two times; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Run connects, and connects again, until the term's context ends; then it reads
// what is connected until Zoom closes it. When the process's context ends too,
// it closes the connection itself, after a while if another replica could
// connect. In the end it publishes what it still holds. Call it once.
//
// It returns nil if everything received is in the outbox, an error if something
// is not, and a *zoom.CredentialsError if Zoom will never accept the app's
// credentials.
func (b *Bridge) Run(term, process context.Context) error {
	defer b.logSummary()
	defer context.AfterFunc(term, b.onTermEnd)()
	reading, patience, release := b.deadlines(term, process)
	defer release()

	defer b.cfg.Alarms.Board.Leave(b.cfg.Subscription, b.cfg.Term.Epoch)
	var owned sync.WaitGroup
	defer owned.Wait()
	keeping, enough := context.WithCancel(patience) // it may wait for room, and must not for ever
	defer enough()
	owned.Go(func() { b.journal.run(keeping) })
	watching, unwatch := context.WithCancel(term)
	defer unwatch()
	owned.Go(func() { b.watch(watching) })
	defer b.cfg.Term.Lease.SetConnected(false)

	err := b.connectLoop(term, process, reading, patience)
	unwatch()
	_, unsafe := b.line.OldestUnsafe()
	b.journal.recordEnd(process, patience)
	b.publishGaps(patience, b.unreportedGap(patience))
	b.forget()
	settling, cancel := context.WithTimeout(patience, settleTimeout)
	defer cancel()
	if b.line.Close(settling) == nil && !unsafe.IsZero() { // else the outbox waits longer
		b.journal.touch()        // what was not safe is now
		b.journal.sync(patience) //nolint:errcheck // without it a gap seems to begin a little earlier
	}
	return err
}

// logSummary tells what the term has brought.
func (b *Bridge) logSummary() {
	line := b.line.Stats()
	b.cfg.Log.Info().Str("code", "term.ended").Uint64("epoch", b.cfg.Term.Epoch).Uint64("events", b.events.Load()).Uint64("stored", line.Acked-line.Duplicates).
		Uint64("duplicates", b.repeated.Load()+line.Duplicates).Uint64("malformed", b.malformed.Load()).Uint64("connects", b.connects.Load()).Msg("subscription ended")
}

// onTermEnd asks Zoom for a sign of life: the successor counts on the connection.
func (b *Bridge) onTermEnd() {
	b.termEnded.Store(true)
	if s := b.session.Load(); s != nil {
		s.Beat()
	}
}

// deadlines returns the contexts of reading and of publishing, both of which go
// on when the term and the process are to end.
func (b *Bridge) deadlines(term, process context.Context) (reading, patience context.Context, release func()) {
	patience, end := context.WithCancel(context.WithoutCancel(term))
	reading, closeSession := context.WithCancel(patience)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-process.Done():
		case <-patience.Done():
			return
		}
		for range b.cfg.Handover / handoverCheck {
			if b.standbys() == 0 || sleep(patience, handoverCheck) != nil {
				break
			}
		}
		closeSession()
		sleep(patience, flushTimeout) //nolint:errcheck
		end()
	})
	return reading, patience, func() {
		end()
		closeSession()
		waiting.Wait()
	}
}

// handle passes one frame on. Its error is a *notStoredError.
func (b *Bridge) handle(ctx context.Context, f *zoom.Frame) error {
	if f.Err != nil {
		b.malformed.Add(1)
		b.cfg.Metrics.Malformed.Inc()
		b.badFrames.Warn().Str("code", "event.malformed").AnErr("reason", f.Err).Int("bytes", f.Size).Msg("malformed frame")
		return b.publish(ctx, b.malformedFrame(f), outbox.Times{Sent: f.Sent})
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	msg, note := b.received(f)
	return b.inTurn(ctx, msg, note, f.Received)
}

// received counts an event and makes its message. The caller holds turn.
func (b *Bridge) received(f *zoom.Frame) (*nats.Msg, outbox.Times) {
	b.events.Add(1)
	b.lastEvent.Store(f.Received.UnixNano())
	received := b.cfg.Clock(f.Received)
	b.cfg.Metrics.Received.Inc()
	b.cfg.Metrics.Arrived(f.Happened, f.Sent, received)
	b.late.note(f.Happened, f.Sent, received)
	msg := b.event(f)
	b.everyEvent.Debug().Str("code", "event").Str("subject", msg.Subject).Str("id", msg.Header[nats.MsgIdHdr][0]).Int("bytes", len(msg.Data)).Msg("event received")
	return msg, outbox.Times{Happened: f.Happened, Sent: f.Sent, Received: received}
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

// lastEventAt is when the last event was received, by this replica or the one
// before.
func (b *Bridge) lastEventAt() time.Time {
	if at := b.lastEvent.Load(); at > 0 {
		return b.cfg.Clock(time.Unix(0, at)).UTC()
	}
	if at := b.previousLastEvent.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// standbys is how many replicas would take over.
func (b *Bridge) standbys() int { return b.cfg.Peers.Standbys(b.cfg.Subscription) }

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
