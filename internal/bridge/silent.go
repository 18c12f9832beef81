package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/alarm"
)

const rhythmPrefix = "rhythm."

// silence judges whether Zoom should have sent something. Only watch's goroutine
// uses it.
type silence struct {
	b        *Bridge
	rhythm   rhythm
	loaded   bool
	revision uint64    // of the entry
	last     time.Time // event that the rhythm knows of
	unsaved  bool
	retry    time.Time // not to be written before
}

// rhythmRetry is the pause after a failure to read or write the rhythm.
const rhythmRetry = time.Minute

func newSilence(b *Bridge) *silence { return &silence{b: b} }

func (s *silence) judge(ctx context.Context) {
	b := s.b
	if b.cfg.Silent == 0 {
		return
	}
	state, now := b.journal.current(), b.clock(time.Now())
	if b.cfg.Silent < 0 {
		s.learn(ctx, state.LastEvent)
	}
	from := quietSince(state)
	if state.State != Connected || state.Unanswered || from.IsZero() {
		return // that is no silence of Zoom's; and if it was one, it may go on
	}
	since := from.Format(time.RFC3339)
	switch {
	case b.cfg.Silent > 0 && now.Sub(from) > b.cfg.Silent:
		b.raise(ctx, alarm.Silent, fmt.Sprintf("heartbeats are answered, but no event has come since %s; over %v is silent: %s", since, b.cfg.Silent, silentAdvice))
	case b.cfg.Silent < 0 && s.loaded && s.rhythm.busy(from, now) >= silentHours:
		b.raise(ctx, alarm.Silent, fmt.Sprintf("heartbeats are answered, but no event has come since %s, although there were events in the same hours of both weeks before: %s", since, silentAdvice))
	case state.LastEvent.Equal(from):
		b.clear(ctx, alarm.Silent, "events come again")
	default:
		b.clear(ctx, alarm.Silent, "the connection is new")
	}
}

const silentAdvice = "is the app still active, are its events still subscribed and its user still authorised on Zoom's page, and does Zoom report trouble?"

// quietSince is since when an event could have come and none has: the last one, or
// the connection after the last gap, or, if there is neither, the first one.
func quietSince(s State) time.Time {
	from := s.LastEvent
	if s.LastGap != nil && s.LastGap.To.After(from) {
		from = s.LastGap.To
	}
	if from.IsZero() {
		from = s.First
	}
	return from
}

// learn brings the rhythm up to date, here and in the bucket.
func (s *silence) learn(ctx context.Context, last time.Time) {
	if last.After(s.last) {
		s.last = last
		s.unsaved = s.rhythm.note(last) || s.unsaved
	}
	if s.loaded && !s.unsaved || time.Now().Before(s.retry) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if err := s.save(ctx); err != nil {
		s.loaded = false // somebody else may have written
		s.retry = time.Now().Add(rhythmRetry)
		s.b.cfg.Log.Debug().Str("code", "rhythm.unwritten").Err(err).Msg("rhythm of the subscription not kept; trying again")
	}
}

func (s *silence) save(ctx context.Context) error {
	key := rhythmPrefix + s.b.cfg.Subscription
	if !s.loaded {
		entry, err := s.b.cfg.States.Get(ctx, key)
		if err != nil {
			return err
		}
		var before rhythm
		if entry.Value != nil && json.Unmarshal(entry.Value, &before) != nil {
			s.b.cfg.Log.Warn().Str("code", "rhythm.unreadable").Msg("the stored rhythm of the subscription cannot be read; it is learned anew")
		}
		s.rhythm.merge(before)
		s.revision, s.loaded = entry.Revision, true
	}
	if !s.unsaved {
		return nil
	}
	value, err := json.Marshal(s.rhythm)
	if err != nil {
		return fmt.Errorf("encode the rhythm: %w", err)
	}
	revision, err := s.b.cfg.States.Put(ctx, key, value, s.revision, 0)
	if err != nil {
		return err
	}
	s.revision, s.unsaved = revision, false
	return nil
}
