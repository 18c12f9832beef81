// Package bridge connects Zoom to NATS for one subscription and one term: it keeps a
// session open, turns each frame into a message and publishes the messages in order.
//
//	session --> message (subject, id, headers) --> outbox --> stream
//	   one reader                                 of the process
//
// The reader never waits for an acknowledgement. It blocks only while the outbox has no
// room for more pending messages. Then TCP's flow control holds Zoom back, while heartbeats
// go on.
//
// A connection is opened only while the term is trusted. When the term ends, the
// connection stays open and is read until Zoom closes it because the successor has
// connected, so that a connection is live for every event.
//
// When a connection is ready, the journal finds out whether there was a gap before it. The
// gap marker is published before the connection's first event.
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
	// ackTimeout bounds the wait for acknowledgements at the end. The wait only serves the
	// summary's counts: the outbox keeps what is unacknowledged.
	ackTimeout = time.Second
	// handoverCheck is how often a replica that waits for its successor to connect checks
	// that there is still a standby.
	handoverCheck = 100 * time.Millisecond
	// dialEnd is the longest that a dial can go on after the end of the term.
	dialEnd = 2500 * time.Millisecond
	// windowSize is the number of message ids that are remembered to save a round trip.
	windowSize = 4096
)

// Bridge serves one subscription during one term. Its methods are safe for concurrent use.
type Bridge struct {
	cfg     Config
	js      jetstream.JetStream
	dialer  *zoom.Dialer
	line    *outbox.Line
	encoder *encoder
	journal *journal
	contest *contest
	late    lateness

	question  string // with which a successor asks about this term
	started   time.Time
	termEnded atomic.Bool
	firstDial atomic.Int64 // its duration in nanoseconds; 0: none has succeeded

	session  atomic.Pointer[zoom.Session] // nil: there is no connection
	replaced atomic.Pointer[zoom.Session] // the session that session replaces; nil: it has ended
	trouble  atomic.Pointer[string]       // why there is no connection; nil: there is one, or none was tried

	connects, events, repeated, malformed atomic.Uint64
	lastEvent                             atomic.Int64              // when it was received, in Unix nanoseconds; 0: never
	previousLastEvent                     atomic.Pointer[time.Time] // the previous term's; nil: unknown

	malformedLog, eventLog zerolog.Logger // sampled

	// publishSem is a lock that is held while a message is handed to the outbox. It is a
	// channel, not a mutex, because that blocks while the outbox has no room.
	publishSem chan struct{}

	// The fields below are guarded by publishSem.

	window *dedupe.Window
	seq    uint64 // of the last message
}

// New returns a Bridge. Nothing happens before Run.
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

// Answer answers a successor's question with the current [record.State] as JSON, or with nil
// if the question is about another term. It works after Run has returned, too.
func (b *Bridge) Answer(question string) []byte {
	if question != b.question {
		return nil
	}
	return b.journal.answer()
}

// SafeUntil is the time before which nothing would be lost if this process died now. Until
// then a connection of this term was live, or its end is recorded, and everything that Zoom
// sent is stored or on disk. It works after Run has returned, too.
func (b *Bridge) SafeUntil() time.Time {
	// In the order in which a message passes, so that none is missed on its way.
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

// earlier is the earlier of two times, ignoring a zero one.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Run connects and reconnects until termCtx ends. From then on it only reads the existing
// connection until Zoom closes it. When processCtx ends, Run gives a standby up to
// Config.Handover to connect, and then closes the connection itself. In the end it publishes
// what it still holds. Call it once.
//
// It returns nil if everything received is in the outbox, an error if something is not,
// and a *zoom.CredentialsError if Zoom will never accept the app's credentials.
func (b *Bridge) Run(termCtx, processCtx context.Context) error {
	defer b.logSummary()
	defer context.AfterFunc(termCtx, b.handleTermEnd)()
	readCtx, drainCtx, release := b.stopContexts(termCtx, processCtx)
	defer release()

	defer b.leaveAlarms() // again: a stranger may have displaced the connection during the handover
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
	if b.line.Close(ackCtx) == nil && !unsafe.IsZero() { // otherwise the outbox waits longer
		b.journal.touch()        // what was not safe is now
		b.journal.sync(drainCtx) //nolint:errcheck // without it a gap seems to begin a little earlier
	}
	return err
}

// handleTermEnd leaves the alarms to the successor before the successor reports them. It also
// asks Zoom for a sign of life, since the successor relies on this connection.
func (b *Bridge) handleTermEnd() {
	b.termEnded.Store(true)
	b.leaveAlarms()
	if s := b.session.Load(); s != nil {
		s.Beat()
	}
}

// stopContexts returns two contexts that outlive the term. readCtx ends when the process
// stops and no standby connects in time; connections are closed then. drainCtx ends
// flushTimeout later; what is still not in the outbox then is lost.
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
		for range dialEnd / handoverCheck { // a dial may be under way; the lease is released after it
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

// standbys is the number of replicas that would take over.
func (b *Bridge) standbys() int { return b.cfg.Peers.Standbys(b.cfg.Subscription) }
