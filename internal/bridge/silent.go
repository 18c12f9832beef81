package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// silence judges whether Zoom should have sent something. Only watch's goroutine
// uses it.
type silence struct {
	b        *Bridge
	rhythm   rhythm // as it is stored
	loaded   bool
	revision uint64 // of the entry
	fresh    rhythm // what is to be added
	counted  uint64 // of the bridge's events
	retry    time.Time
}

const (
	// rhythmRetry is the pause after a failure to read or write the rhythm.
	rhythmRetry = time.Minute
	// lastWordTimeout bounds the last write of it; less than an hour's events depend
	// on that.
	lastWordTimeout = time.Second
)

func newSilence(b *Bridge) *silence {
	return &silence{b: b, fresh: rhythm{Hours: make(map[int64]uint32)}}
}

func (s *silence) judge(ctx context.Context) {
	b := s.b
	if b.cfg.Alarms.Silent == 0 {
		b.clear(ctx, message.AlarmSilent, alarmOff)
		return
	}
	state, now := b.journal.current(), b.cfg.Clock(time.Now())
	if b.cfg.Alarms.Silent < 0 {
		s.learn(ctx, now)
	}
	from := quietSince(state)
	switch {
	case state.State != record.Connected || state.Unanswered || from.IsZero():
		return // that is no silence of Zoom's; and if it was one, it may go on
	case b.cfg.Alarms.Silent < 0 && !s.loaded:
		return // nobody can say
	}
	since := from.Format(time.RFC3339)
	var events uint64
	var hours int
	if b.cfg.Alarms.Silent < 0 && now.Sub(from) >= silentHours*time.Hour { // else there cannot be so many
		events, hours = s.rhythm.expected(from, now)
	}
	switch {
	case b.cfg.Alarms.Silent > 0 && now.Sub(from) > b.cfg.Alarms.Silent:
		b.raise(ctx, message.AlarmSilent, fmt.Sprintf("heartbeats are answered, but no event has come since %s; over %v is silent: %s", since, b.cfg.Alarms.Silent, silentAdvice))
	case hours >= silentHours && events >= silentEvents:
		b.raise(ctx, message.AlarmSilent, fmt.Sprintf("heartbeats are answered, but no event has come since %s, although in the same hours of both weeks before there were at least %d: %s", since, events, silentAdvice))
	case state.LastEvent.Equal(from):
		b.clear(ctx, message.AlarmSilent, "events come again")
	default:
		b.clear(ctx, message.AlarmSilent, "the connection is new")
	}
}

const silentAdvice = "is the app still active, are its events still subscribed and its user still authorised on Zoom's page, and does Zoom report trouble?"

// learn counts events, and brings the rhythm in the bucket up to date: at first, and
// whenever an hour is over. What comes in between may be lost with the process.
func (s *silence) learn(ctx context.Context, now time.Time) {
	hour := hourOf(now)
	if events := s.b.events.Load(); events > s.counted {
		s.fresh.Hours[hour] += uint32(events - s.counted)
		s.counted = events
	}
	over := len(s.fresh.Hours) > 1 || len(s.fresh.Hours) == 1 && s.fresh.Hours[hour] == 0
	if s.loaded && !over || time.Now().Before(s.retry) {
		return
	}
	s.save(ctx, now)
}

// end saves what is fresh, when this replica leads no more.
func (s *silence) end() {
	if s.b.cfg.Alarms.Silent >= 0 || s.b.events.Load() == s.counted && len(s.fresh.Hours) == 0 {
		return
	}
	now := s.b.cfg.Clock(time.Now())
	s.fresh.Hours[hourOf(now)] += uint32(s.b.events.Load() - s.counted)
	ctx, cancel := context.WithTimeout(context.Background(), lastWordTimeout)
	defer cancel()
	s.save(ctx, now)
}

// save adds what is fresh to what is stored.
func (s *silence) save(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if err := s.store(ctx, now); err != nil {
		s.loaded = false // somebody else may have written
		s.retry = time.Now().Add(rhythmRetry)
		s.b.cfg.Log.Debug().Str("code", "rhythm.unwritten").Err(err).Msg("rhythm of the subscription not kept; trying again")
	}
}

func (s *silence) store(ctx context.Context, now time.Time) error {
	key := record.RhythmPrefix + s.b.cfg.Subscription
	if !s.loaded {
		entry, err := s.b.cfg.States.Get(ctx, key)
		if err != nil {
			return err
		}
		s.rhythm = rhythm{}
		if entry.Value != nil && (len(entry.Value) > record.MaxBytes || json.Unmarshal(entry.Value, &s.rhythm) != nil) {
			s.rhythm = rhythm{}
			s.b.cfg.Log.Warn().Str("code", "rhythm.unreadable").Msg("the stored rhythm of the subscription cannot be read; it is learned anew")
		}
		s.revision, s.loaded = entry.Revision, true
		s.rhythm.add(rhythm{}, now)
	}
	if len(s.fresh.Hours) == 0 {
		return nil
	}
	next := rhythm{}
	next.add(s.rhythm, now)
	next.add(s.fresh, now)
	value, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode the rhythm: %w", err)
	}
	revision, err := s.b.cfg.States.Put(ctx, key, value, s.revision, 0)
	if err != nil {
		return err
	}
	s.rhythm, s.revision = next, revision
	clear(s.fresh.Hours)
	return nil
}

// quietSince is since when an event could have come and none has: the last one, or
// the connection after the last gap, or, if there is neither, the first one.
func quietSince(s record.State) time.Time {
	from := s.LastEvent
	if s.LastGap != nil && s.LastGap.To.After(from) {
		from = s.LastGap.To
	}
	if from.IsZero() {
		from = s.First
	}
	return from
}
