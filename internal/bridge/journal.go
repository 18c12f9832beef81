package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// stateInterval is how often the state is written while connected, even if only the
	// time of the last frame has changed.
	stateInterval = 10 * time.Second
	// journalTimeout bounds one attempt to read and write the state.
	journalTimeout = 3 * time.Second
	// writeTimeout bounds one write. It is shorter, to leave time to find out what is wrong:
	// if the bucket is gone and a client subscribes to its subjects, no answer comes.
	writeTimeout = journalTimeout / 2
)

// errSuperseded means that a later term has written the state.
var errSuperseded = errors.New("a later term has written the state")

// journal keeps the state of one term's connections in memory and in the bucket.
//
// A gap is written to the bucket before its marker is published, and removed once the
// marker is stored. If a replica dies in between, the next one finds the gap and publishes
// the same marker again.
type journal struct {
	b *Bridge

	bucket   chan struct{} // a lock: held while the entry is read and written
	revision uint64        // of the entry; guarded by bucket

	changed chan struct{}
	// adoptionPublished is closed once the gap before the term is published, or it is known
	// that there was none.
	adoptionPublished chan struct{}
	// unrecordedEnd is when the connection ended, in Unix nanoseconds, as long as that is
	// neither recorded nor known to another replica; otherwise zero.
	unrecordedEnd atomic.Int64

	mu    sync.Mutex
	state record.State
	phase phase
	dirty bool // the state differs from the entry
}

// phase is the phase of a journal.
type phase int

const (
	unconnected phase = iota // this term has had no connection yet
	connected                // it has had one; the previous term's state is not adopted yet
	adopted                  // the state includes what the previous term left
	superseded               // a later term has written the state; this one no longer may
)

func newJournal(b *Bridge) *journal {
	return &journal{
		b: b, bucket: make(chan struct{}, 1), changed: make(chan struct{}, 1), adoptionPublished: make(chan struct{}),
		state: record.State{State: record.Disconnected, Replica: b.cfg.Term.Replica, Nonce: b.cfg.Term.Nonce, Epoch: b.cfg.Term.Epoch},
	}
}

// run writes the state when it changes, and every stateInterval while connected, until the
// context ends.
func (j *journal) run(ctx context.Context) {
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	retry := time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.changed:
		case <-tick.C:
			j.mu.Lock()
			j.dirty = j.dirty || j.state.State == record.Connected
			j.mu.Unlock()
		}
		if err := j.sync(ctx); err != nil && ctx.Err() == nil {
			j.b.cfg.Log.Debug().Str("code", "state.retried").Err(err).Msg("state not written; trying again")
			if sleep.For(ctx, retry) == nil {
				j.touch()
			}
			retry = min(4*retry, time.Second)
			continue
		}
		retry = time.Millisecond
	}
}

// recordEnd writes how the term ended, so that the successor need not guess. While NATS is
// unavailable it retries as long as the process runs.
func (j *journal) recordEnd(processCtx, ctx context.Context) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if j.sync(ctx) == nil || processCtx.Err() != nil {
			return
		}
		sleep.For(processCtx, pause) //nolint:errcheck // it tries once more then
	}
}

// sync adopts the previous term's state, publishes the gaps that this finds, and writes the
// state.
func (j *journal) sync(ctx context.Context) error {
	gaps, err := j.adoptPreviousTerm(ctx)
	if err != nil {
		return err
	}
	j.b.publishGaps(ctx, gaps)
	j.noteAdoptionPublished()
	return j.flush(ctx)
}

// adoptPreviousTerm reads the previous term's state, once a connection is ready, and writes
// it back with the gap before that connection. It returns the gaps whose markers may not be
// stored: that one and the previous term's.
func (j *journal) adoptPreviousTerm(ctx context.Context) ([]message.Gap, error) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if err := j.lockBucket(ctx); err != nil {
		return nil, err
	}
	defer j.unlockBucket()
	if j.currentPhase() != connected {
		return nil, nil
	}
	last, revision, err := j.read(ctx)
	if errors.Is(err, errSuperseded) {
		j.markSuperseded()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	own := j.current()
	if last.Nonce == own.Nonce && last.Epoch == own.Epoch { // our own write, which seemed to fail
		j.revision = revision
		last.Unstored = slices.DeleteFunc(last.Unstored, func(g message.Gap) bool { return hasGap(own.Unstored, g.ID) })
		j.adopt(last, last.FirstGap)
		return last.Unstored, nil
	}
	last, gap := j.b.gapBeforeTerm(ctx, last, own.First)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// If the previous replica has recorded its end in the meantime, this write fails and
	// everything is decided again.
	j.revision = revision
	gaps := last.Unstored
	if gap != nil {
		gaps = append(gaps[:len(gaps):len(gaps)], *gap)
		last.LastGap = gap
	}
	last.FirstGap = gap
	last.Unstored = gaps
	if err := j.write(ctx, last); err != nil {
		return nil, err
	}
	j.adopt(last, gap)
	return gaps, nil
}

// adopt adds what the previous term left to this term's state.
func (j *journal) adopt(last record.State, gap *message.Gap) {
	if last.ClosesAtExpiry {
		j.b.dialer.LearnClosesAtExpiry()
	}
	j.b.adoptAlarms(last.Raised)
	if !last.LastEvent.IsZero() {
		j.b.previousLastEvent.Store(&last.LastEvent)
	}
	j.mu.Lock()
	j.phase = adopted
	j.state = j.state.After(last)
	j.mu.Unlock()
	if gap != nil {
		j.b.logGap(*gap)
	}
}

func hasGap(gaps []message.Gap, id string) bool {
	return slices.ContainsFunc(gaps, func(g message.Gap) bool { return g.ID == id })
}

// noteAdoptionPublished closes adoptionPublished if the previous term's state is adopted.
func (j *journal) noteAdoptionPublished() {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-j.adoptionPublished:
	default:
		if j.phase >= adopted {
			close(j.adoptionPublished)
		}
	}
}

// flush writes the state if it has changed and this term may write it.
func (j *journal) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if err := j.lockBucket(ctx); err != nil {
		return err
	}
	defer j.unlockBucket()
	j.mu.Lock()
	due := j.dirty && j.phase == adopted
	j.mu.Unlock()
	if !due || j.write(ctx, record.State{}) == nil {
		return nil
	}
	_, revision, err := j.read(ctx)
	if errors.Is(err, errSuperseded) {
		j.markSuperseded()
		return nil
	}
	if err != nil {
		return err
	}
	j.revision = revision // of our own write, which seemed to fail
	return j.write(ctx, record.State{})
}

// read reads the entry. It returns errSuperseded if the entry is a later term's. The caller
// holds bucket.
func (j *journal) read(ctx context.Context) (last record.State, revision uint64, err error) {
	cfg := &j.b.cfg
	entry, err := cfg.States.Get(ctx, record.StatePrefix+cfg.Subscription)
	if err != nil {
		return record.State{}, 0, err
	}
	if entry.Value != nil {
		var complete bool
		last, complete, err = record.ReadState(entry.Value, cfg.Subscription, cfg.Clock(time.Now()))
		switch {
		case err != nil:
			cfg.Log.Warn().Str("code", "state.unreadable").Err(err).Msg("the stored state of the subscription is invalid; replacing it")
			last = record.State{State: record.Connected, Nonce: record.Unknown, Replica: record.Unknown} // all that is known: some replica was connected
		case !complete:
			cfg.Log.Warn().Str("code", "state.unreadable").Msg("the stored state of the subscription has gaps or alarms that no replica would write; ignoring them")
		}
	}
	if last.Epoch <= cfg.Term.Epoch {
		return last, entry.Revision, nil
	}
	if j.b.termEnded.Load() {
		return last, 0, errSuperseded
	}
	// While this term holds the lease there is no later term, whatever the state says.
	if err := cfg.Term.Lease.Prove(ctx); err != nil {
		if j.b.termEnded.Load() {
			return last, 0, errSuperseded
		}
		return record.State{}, 0, err
	}
	return last, entry.Revision, nil
}

// write writes the state, including what the previous term left in last, with a
// compare-and-swap at the known revision. The caller holds bucket.
func (j *journal) write(ctx context.Context, last record.State) (err error) {
	cfg := &j.b.cfg
	j.setDirty(false)
	defer func() {
		if err != nil {
			j.setDirty(true)
		}
	}()
	end := j.unrecordedEnd.Load()
	value, err := json.Marshal(j.current().After(last))
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	revision, err := cfg.States.Put(ctx, record.StatePrefix+cfg.Subscription, value, j.revision, 0)
	if err != nil {
		return err
	}
	j.revision = revision
	j.unrecordedEnd.CompareAndSwap(end, 0)
	return nil
}

func (j *journal) lockBucket(ctx context.Context) error {
	select {
	case j.bucket <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j *journal) unlockBucket() { <-j.bucket }

func (j *journal) setDirty(dirty bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = dirty
}

func (j *journal) currentPhase() phase {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.phase
}

// markSuperseded records that a later term has written the state.
func (j *journal) markSuperseded() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.phase = superseded
	j.unrecordedEnd.Store(0)
}

// current is the present state.
func (j *journal) current() record.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state
	s.LastEvent = j.b.lastEventAt()
	s.SafeUntil = j.b.cfg.Clock(j.b.SafeUntil()).UTC()
	s.Raised, s.ClosesAtExpiry = j.b.raisedAlarms(), j.b.dialer.ClosesAtExpiry()
	if session := j.b.session.Load(); session != nil {
		s.LastFrame, s.Unanswered = j.b.cfg.Clock(session.LastFrame()).UTC(), session.Unanswered()
	}
	return s
}

// answer is the current state as JSON, for the replica that took over. It clears
// unrecordedEnd: what the successor knows is as good as recorded.
func (j *journal) answer() []byte {
	s := j.current()
	j.unrecordedEnd.Store(0)
	s.Now = j.b.cfg.Clock(time.Now()).UTC()
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

// change changes the state and makes run write it soon.
func (j *journal) change(f func(*record.State)) {
	j.mu.Lock()
	f(&j.state)
	j.dirty = true
	j.mu.Unlock()
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// touch makes run write the state soon, because something that current adds has changed.
func (j *journal) touch() { j.change(func(*record.State) {}) }

// noteConnected records that a connection is ready. It returns the gap since this term's
// last connection, if there is one.
func (j *journal) noteConnected(ready time.Time) (gaps []message.Gap) {
	j.change(func(s *record.State) {
		if j.phase == unconnected {
			j.phase, s.First = connected, ready.UTC()
		} else if s.State == record.Disconnected {
			gap := j.b.newGap(*s, s.Since, ready, s.Connection+1, s.Cause, true)
			s.AddGap(gap)
			gaps = []message.Gap{gap}
		}
		setConnected(s, ready)
	})
	for _, gap := range gaps {
		j.b.logGap(gap)
	}
	return gaps
}

// noteRenewed records that a connection has replaced the one before without a gap.
func (j *journal) noteRenewed(ready time.Time) {
	j.change(func(s *record.State) { setConnected(s, ready) })
}

func setConnected(s *record.State, ready time.Time) {
	s.State, s.Since, s.Ended, s.Cause, s.End = record.Connected, ready.UTC(), time.Time{}, "", ""
	s.Connection++
}

// noteEnded records that the connection is no longer live. noteEnded maps the times with
// Config.Clock, so the caller must not.
func (j *journal) noteEnded(state record.ConnState, lastFrame, until, noticed time.Time, cause message.GapCause, end string) {
	j.change(func(s *record.State) {
		if j.phase != superseded { // otherwise a later term has recorded it already
			j.unrecordedEnd.Store(until.UnixNano())
		}
		s.LastFrame, s.Ended = j.b.cfg.Clock(lastFrame).UTC(), j.b.cfg.Clock(noticed).UTC()
		s.State, s.Since, s.Cause, s.End = state, j.b.cfg.Clock(until).UTC(), cause, end
	})
}

// setEnd corrects how a displaced connection ended, once it is known who displaced it.
func (j *journal) setEnd(state record.ConnState, cause message.GapCause) {
	j.change(func(s *record.State) { s.State, s.Cause = state, cause })
}

// noteMarkerStored records that the gap marker with this id is in the stream.
func (j *journal) noteMarkerStored(id string) {
	j.change(func(s *record.State) {
		s.Unstored = slices.DeleteFunc(slices.Clone(s.Unstored), func(g message.Gap) bool { return g.ID == id })
	})
}
