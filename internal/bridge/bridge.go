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
// A connection is opened only while the term is trusted. When the term is over, the
// connection is not closed: it is read until Zoom closes it because the successor has
// connected, so that every event finds a connection.
//
// Whenever a connection is ready, the journal says whether there was a gap before it. The
// gap's marker is published before the connection's first event.
package bridge

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

const (
	// flushTimeout bounds the wait for room in the outbox at the end.
	flushTimeout = 5 * time.Second
	// ackTimeout bounds the wait for acknowledgements at the end, so that the summary counts
	// them. What has none by then is left to the outbox.
	ackTimeout = time.Second
	// handoverCheck is how often a replica that waits for its successor to connect checks
	// that there still is a standby.
	handoverCheck = 100 * time.Millisecond
	// dialEnd is how long a dial goes on at most when the term ends.
	dialEnd = 2500 * time.Millisecond
	// windowSize is how many ids are remembered to save a round trip.
	windowSize = 4096
)

// Bridge serves one subscription for one term. Its methods are safe for concurrent use.
type Bridge struct {
	cfg     Config
	js      jetstream.JetStream
	dialer  *zoom.Dialer
	line    *outbox.Line
	encoder *encoder
	journal *journal
	contest *contest
	late    lateness

	question  string // by which a successor asks for this term
	started   time.Time
	termEnded atomic.Bool
	firstDial atomic.Int64 // its duration in nanoseconds; 0: none has succeeded

	session  atomic.Pointer[zoom.Session] // nil: there is no connection
	replaced atomic.Pointer[zoom.Session] // the one that session replaces; nil: it has ended
	trouble  atomic.Pointer[string]       // why there is no connection; nil: there is one, or none was tried

	connects, events, repeated, malformed atomic.Uint64
	lastEvent                             atomic.Int64              // when it was received, in Unix nanoseconds; 0: never
	previousLastEvent                     atomic.Pointer[time.Time] // the previous term's; nil: unknown

	malformedLog, eventLog zerolog.Logger // sampled

	// publishSem is a lock that is held while a message is handed over. It is a channel
	// since the outbox may have no room.
	publishSem chan struct{}

	// The fields below are used only with publishSem held.

	window *dedupe.Window
	seq    uint64 // of the last message
}

// New returns a Bridge. It does nothing before Run.
func New(js jetstream.JetStream, dialer *zoom.Dialer, cfg Config) *Bridge {
	b := &Bridge{
		cfg:      cfg,
		js:       js,
		dialer:   dialer,
		started:  time.Now(),
		question: questionOf(cfg.Subscription, cfg.Term.Epoch),

		malformedLog: oncePerMinute(cfg.Log),
		eventLog:     cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),

		publishSem: make(chan struct{}, 1),
		window:     dedupe.NewWindow(windowSize, cfg.Stream.DuplicateWindow),
	}
	b.encoder = newEncoder(&b.cfg)
	b.journal = newJournal(b)
	b.contest = newContest(b)
	b.line = cfg.Outbox.Line(cfg.Subscription, strconv.FormatUint(cfg.Term.Epoch, 10), b.handleStored)
	return b
}

// Answer answers a successor's question by the state of the connection, as JSON, or by nil
// if the question is about another term. It may be called after Run has returned, too.
func (b *Bridge) Answer(question string) []byte {
	if question != b.question {
		return nil
	}
	return b.journal.answer()
}

// SafeUntil is the time before which nothing would be lost with this process: until then
// there was a connection of this term, or its end is recorded, and all that Zoom sent is
// stored or on disk. It may be called after Run has returned, too.
func (b *Bridge) SafeUntil() time.Time {
	// In the order in which a message passes, or one on its way could be missed.
	until := time.Now()
	if end := b.journal.unrecordedEnd.Load(); end != 0 {
		until = earlier(until, time.Unix(0, end))
	}
	for _, session := range []*zoom.Session{b.session.Load(), b.replaced.Load()} {
		if session != nil {
			until = earlier(until, session.ReadUntil())
		}
	}
	times, accepted := b.line.OldestUnsafe()
	return earlier(until, zoom.SentBy(times.Sent, accepted))
}

// earlier is the earlier of two times; a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Run connects, and connects again, until termCtx ends; then it reads what is connected
// until Zoom closes it. When processCtx ends too, it closes the connection itself, but
// first gives a standby Config.Handover to connect. In the end it publishes what it still
// holds. Call it once.
//
// It returns nil if everything received is in the outbox, an error if something is not,
// and a *zoom.CredentialsError if Zoom will never accept the app's credentials.
func (b *Bridge) Run(termCtx, processCtx context.Context) error {
	defer b.logSummary()
	defer context.AfterFunc(termCtx, b.handleTermEnd)()
	readCtx, drainCtx, release := b.stopContexts(termCtx, processCtx)
	defer release()

	defer b.leaveAlarms() // again: a stranger may have displaced what was about to be handed over
	var owned sync.WaitGroup
	defer owned.Wait()
	journalCtx, stopJournal := context.WithCancel(drainCtx) // its run may wait for room in the outbox
	defer stopJournal()
	owned.Go(func() { b.journal.run(journalCtx) })
	alarmsCtx, stopAlarms := context.WithCancel(termCtx)
	defer stopAlarms()
	owned.Go(func() { b.runAlarms(alarmsCtx) })
	defer b.cfg.Term.Lease.SetConnected(false)

	c := &connector{b: b, termCtx: termCtx, processCtx: processCtx, readCtx: readCtx, drainCtx: drainCtx}
	err := c.run()
	stopAlarms()
	_, unsafe := b.line.OldestUnsafe()
	b.journal.recordEnd(processCtx, drainCtx)
	b.publishGaps(drainCtx, b.unreportedGap(drainCtx))
	b.freeWindow()
	ackCtx, cancel := context.WithTimeout(drainCtx, ackTimeout)
	defer cancel()
	if b.line.Close(ackCtx) == nil && !unsafe.IsZero() { // else the outbox waits longer
		b.journal.touch()        // what was not safe is now
		b.journal.sync(drainCtx) //nolint:errcheck // without it a gap seems to begin a little earlier
	}
	return err
}

// handleTermEnd leaves the alarms to the successor before it tells of them, and asks Zoom for a
// sign of life, since it relies on the connection.
func (b *Bridge) handleTermEnd() {
	b.termEnded.Store(true)
	b.leaveAlarms()
	if s := b.session.Load(); s != nil {
		s.Beat()
	}
}

// stopContexts returns two contexts that outlive the term. readCtx ends when the process
// stops and no standby connects in time; then connections are closed. drainCtx ends
// flushTimeout later; then what was received is no longer handed over.
func (b *Bridge) stopContexts(termCtx, processCtx context.Context) (readCtx, drainCtx context.Context, release func()) {
	drainCtx, stopDrain := context.WithCancel(context.WithoutCancel(termCtx))
	readCtx, stopRead := context.WithCancel(drainCtx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-processCtx.Done():
		case <-drainCtx.Done():
			return
		}
		for range dialEnd / handoverCheck { // the lease is released after it
			if b.session.Load() != nil || sleep.For(drainCtx, handoverCheck) != nil {
				break
			}
		}
		for range b.cfg.Handover / handoverCheck {
			if b.standbys() == 0 || sleep.For(drainCtx, handoverCheck) != nil {
				break
			}
		}
		stopRead()
		sleep.For(drainCtx, flushTimeout) //nolint:errcheck
		stopDrain()
	})
	return readCtx, drainCtx, func() {
		stopDrain()
		stopRead()
		waiting.Wait()
	}
}

// logSummary logs what the term has received and stored.
func (b *Bridge) logSummary() {
	line := b.line.Stats()
	b.cfg.Log.Info().Str("code", "term.ended").Uint64("epoch", b.cfg.Term.Epoch).Uint64("events", b.events.Load()).Uint64("stored", line.Acked-line.Duplicates).
		Uint64("duplicates", b.repeated.Load()+line.Duplicates).Uint64("malformed", b.malformed.Load()).Uint64("connects", b.connects.Load()).Msg("subscription ended")
}

// lastEventAt is when the last event was received, in this term or the previous one.
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
