package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// stateInterval is how often the state is written while nothing changes
	// but the time of the last frame.
	stateInterval = 10 * time.Second
	// journalTimeout bounds one try to read and write the state.
	journalTimeout = 3 * time.Second
)

// journal keeps the state of one term's connections, here and in the bucket.
//
// A gap is written there before its marker is published, and taken out when the
// marker is stored: whatever dies in between, the next replica finds it and
// publishes the same marker again.
type journal struct {
	b       *Bridge
	writing chan struct{} // held by who reads and writes the bucket: one at a time

	told chan struct{} // closed when the gap before the term is published, if there was one

	mu         sync.Mutex
	state      record.State
	dirty      bool
	first      time.Time // when the first connection of the term was ready
	begun      bool      // what was before that is known
	revision   uint64    // of the entry; only with writing held
	superseded bool      // a later term has written
	wake       chan struct{}
}

func newJournal(b *Bridge) *journal {
	j := &journal{b: b, writing: make(chan struct{}, 1), wake: make(chan struct{}, 1), told: make(chan struct{})}
	j.state = record.State{State: record.Disconnected, Replica: b.cfg.Term.Replica, Nonce: b.cfg.Term.Nonce, Epoch: b.cfg.Term.Epoch}
	return j
}

// current is the state as it is now.
func (j *journal) current() record.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state
	s.LastEvent = j.b.lastEventAt()
	s.SafeUntil = j.b.cfg.Clock(j.b.SafeUntil()).UTC()
	s.Raised, s.ClosesAtExpiry = j.b.raised(), j.b.dialer.ClosesAtExpiry()
	if session := j.b.session.Load(); session != nil {
		s.LastFrame, s.Unanswered = j.b.cfg.Clock(session.LastFrame()).UTC(), session.Unanswered()
	}
	return s
}

// change changes the state and has it written soon.
func (j *journal) change(f func(*record.State)) {
	j.mu.Lock()
	f(&j.state)
	j.dirty = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// ended notes that the connection is live no more, on this machine's own clock.
func (j *journal) ended(state record.ConnState, lastFrame, until, noticed time.Time, cause message.GapCause, end string) {
	j.change(func(s *record.State) {
		if !j.superseded { // else a later term has told already
			j.b.lostSince.Store(until.UnixNano())
		}
		s.LastFrame, s.Ended = j.b.cfg.Clock(lastFrame).UTC(), j.b.cfg.Clock(noticed).UTC()
		s.State, s.Since, s.Cause, s.End = state, j.b.cfg.Clock(until).UTC(), cause, end
	})
}

// judge says what the end of a displaced connection was.
func (j *journal) judge(state record.ConnState, cause message.GapCause) {
	j.change(func(s *record.State) { s.State, s.Cause = state, cause })
}

// renewed notes that a connection has replaced the one before without a gap.
func (j *journal) renewed(ready time.Time) {
	j.change(func(s *record.State) {
		s.State, s.Since, s.Ended, s.Cause, s.End = record.Connected, ready.UTC(), time.Time{}, "", ""
		s.Connection++
	})
}

// opened notes that a connection is ready, and returns the gap since the last
// connection of this term. What was before the term is found out by settle.
func (j *journal) opened(ready time.Time) (gaps []message.Gap) {
	j.change(func(s *record.State) {
		if s.Connection == 0 {
			j.first, s.First = ready, ready.UTC()
		} else if s.State == record.Disconnected {
			gap := j.b.newGap(*s, s.Since, ready, s.Connection+1, s.Cause, true)
			s.AddGap(gap)
			gaps = []message.Gap{gap}
		}
		s.State, s.Since, s.Ended, s.Cause, s.End = record.Connected, ready.UTC(), time.Time{}, "", ""
		s.Connection++
	})
	for _, gap := range gaps {
		j.b.logGap(gap)
	}
	return gaps
}

// settle finds out, once in a term, what was before its first connection, and
// returns the gaps of which the term before may not have told.
func (j *journal) settle(ctx context.Context) ([]message.Gap, error) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if !j.lock(ctx) {
		return nil, context.Cause(ctx)
	}
	defer j.unlock()
	if j.settled() {
		return nil, nil
	}
	last, revision, err := j.b.load(ctx)
	if errors.Is(err, errSuperseded) {
		j.supersede()
		j.enter(record.State{}, nil)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if last.Nonce == j.b.cfg.Term.Nonce && last.Epoch == j.b.cfg.Term.Epoch { // a write of ours that seemed to fail
		j.revision = revision
		own := j.current().Unstored
		last.Unstored = slices.DeleteFunc(last.Unstored, func(g message.Gap) bool {
			return slices.ContainsFunc(own, func(o message.Gap) bool { return o.ID == g.ID })
		})
		j.enter(last, last.FirstGap)
		return last.Unstored, nil
	}
	last, gap := j.b.gapBeforeTerm(ctx, last, j.first)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// If the replica before has written its last word meanwhile, this fails,
	// and all is decided anew.
	j.revision = revision
	told := last.Unstored
	if gap != nil {
		told = append(told[:len(told):len(told)], *gap)
		last.LastGap = gap
	}
	last.FirstGap = gap
	last.Unstored = told
	if err := j.put(ctx, last); err != nil {
		return nil, err
	}
	j.enter(last, gap)
	return told, nil
}

func (j *journal) settled() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.begun || j.first.IsZero()
}

// enter adds what is left of the term before to the present state.
func (j *journal) enter(last record.State, gap *message.Gap) {
	if last.ClosesAtExpiry {
		j.b.dialer.LearnClosesAtExpiry()
	}
	j.b.inherit(last.Raised)
	if !last.LastEvent.IsZero() {
		j.b.eventBefore.Store(&last.LastEvent)
	}
	j.mu.Lock()
	j.begun = true
	j.state = j.state.After(last)
	j.mu.Unlock()
	if gap != nil {
		j.b.logGap(*gap)
	}
}

// stored notes that the marker of a gap is in the stream.
func (j *journal) stored(id string) {
	j.change(func(s *record.State) {
		var rest []message.Gap
		for _, gap := range s.Unstored {
			if gap.ID != id {
				rest = append(rest, gap)
			}
		}
		s.Unstored = rest
	})
}

// keep writes the state when it has changed, and from time to time, until the
// context ends.
func (j *journal) keep(ctx context.Context) {
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	retry := time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		case <-tick.C:
			j.mu.Lock()
			j.dirty = j.dirty || j.state.State == record.Connected
			j.mu.Unlock()
		}
		if err := j.record(ctx); err != nil && ctx.Err() == nil {
			j.b.cfg.Log.Debug().Str("code", "state.retried").Err(err).Msg("state not written; trying again")
			if sleep(ctx, retry) == nil {
				j.change(func(*record.State) {})
			}
			retry = min(4*retry, time.Second)
			continue
		}
		retry = time.Millisecond
	}
}

// record finds out what was before the term, tells of it, and brings the bucket up to
// date.
func (j *journal) record(ctx context.Context) error {
	gaps, err := j.settle(ctx)
	if err != nil {
		return err
	}
	j.b.publishGaps(ctx, gaps)
	j.markTold()
	return j.flush(ctx)
}

// recordEnd records how the term has ended, the term's last word, without which its
// successor has to guess. While NATS is away it tries again, as long as the process
// runs.
func (j *journal) recordEnd(process, ctx context.Context) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if j.record(ctx) == nil || process.Err() != nil {
			return
		}
		sleep(process, pause) //nolint:errcheck // then it tries once more
	}
}

// markTold ends the wait for what was before the term, if it is known.
func (j *journal) markTold() {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-j.told:
	default:
		if j.begun {
			close(j.told)
		}
	}
}

// flush writes the state if it has changed.
func (j *journal) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if !j.lock(ctx) {
		return context.Cause(ctx)
	}
	defer j.unlock()
	return j.write(ctx)
}

// write writes the state unless nothing has changed, the term before is not
// settled, or a later term has written.
func (j *journal) write(ctx context.Context) error {
	j.mu.Lock()
	idle := !j.dirty || !j.begun || j.superseded
	j.mu.Unlock()
	if idle {
		return nil
	}
	err := j.put(ctx, record.State{})
	if err == nil {
		return nil
	}
	_, revision, unread := j.b.load(ctx)
	if errors.Is(unread, errSuperseded) {
		j.supersede()
		return nil
	}
	if unread != nil {
		return unread
	}
	j.revision = revision // of a write of ours that seemed to fail
	return j.put(ctx, record.State{})
}

// supersede notes that a later term has written the state.
func (j *journal) supersede() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.superseded = true
	j.b.lostSince.Store(0)
}

// put writes the present state at the known revision, with what the term before
// has left.
func (j *journal) put(ctx context.Context, last record.State) error {
	j.mu.Lock()
	j.dirty = false
	j.mu.Unlock()
	lost := j.b.lostSince.Load()
	revision, err := j.b.store(ctx, j.current().After(last), j.revision)
	if err != nil {
		j.mu.Lock()
		j.dirty = true
		j.mu.Unlock()
		return err
	}
	j.revision = revision
	j.b.lostSince.CompareAndSwap(lost, 0)
	return nil
}

func (j *journal) lock(ctx context.Context) bool {
	select {
	case j.writing <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (j *journal) unlock() { <-j.writing }

// describe is the answer to the replica that took over.
func (j *journal) describe() []byte {
	s := j.current()
	j.b.lostSince.Store(0) // whoever asks goes on with it
	s.Now = j.b.cfg.Clock(time.Now()).UTC()
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

// storeTimeout bounds one write, so that it leaves time to find out what is wrong: where
// the bucket is gone and somebody listens to its subjects, nobody answers.
const storeTimeout = journalTimeout / 2

// errSuperseded says that a later term has written the state.
var errSuperseded = errors.New("a later term has written the state")

// load reads the state from the leader of the bucket's stream.
func (b *Bridge) load(ctx context.Context) (last record.State, revision uint64, err error) {
	entry, err := b.cfg.States.Get(ctx, record.StatePrefix+b.cfg.Subscription)
	if err != nil {
		return record.State{}, 0, err
	}
	if entry.Value != nil {
		var complete bool
		last, complete, err = record.ReadState(entry.Value, b.cfg.Subscription, b.cfg.Clock(time.Now()))
		switch {
		case err != nil:
			b.cfg.Log.Warn().Str("code", "state.unreadable").Err(err).Msg("the stored state of the subscription is no state; it is replaced")
			last = record.State{State: record.Connected, Nonce: record.Unknown, Replica: record.Unknown} // somebody was connected: nobody can say more
		case !complete:
			b.cfg.Log.Warn().Str("code", "state.unreadable").Msg("the stored state of the subscription has gaps or alarms that no replica writes for it; they are left out")
		}
	}
	if last.Epoch <= b.cfg.Term.Epoch {
		return last, entry.Revision, nil
	}
	if b.termEnded.Load() {
		return last, 0, errSuperseded
	}
	// Unless this term holds the lease all the same: then the state is no later
	// term's, whatever it says.
	if err := b.cfg.Term.Lease.Prove(ctx); err != nil {
		if b.termEnded.Load() {
			return last, 0, errSuperseded
		}
		return record.State{}, 0, err
	}
	return last, entry.Revision, nil
}

// store writes a state at a revision.
func (b *Bridge) store(ctx context.Context, s record.State, revision uint64) (uint64, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.cfg.States.Put(ctx, record.StatePrefix+b.cfg.Subscription, value, revision, 0)
}
