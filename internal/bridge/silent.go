package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// silence checks whether Zoom should have sent something. Only runAlarms' goroutine uses
// it.
type silence struct {
	b        *Bridge
	rhythm   rhythm // as it is stored
	loaded   bool   // whether rhythm was read
	revision uint64 // of the entry
	unsaved  rhythm // to be merged into rhythm
	counted  uint64 // number of the bridge's events that are in rhythm or unsaved
	retry    time.Time
}

const (
	// rhythmRetry is the pause after a failure to read or write the rhythm.
	rhythmRetry = time.Minute
	// lastSaveTimeout bounds the last write of the rhythm. If it fails, the count of less
	// than an hour is lost.
	lastSaveTimeout = time.Second
)

func newSilence(b *Bridge) *silence {
	return &silence{b: b, unsaved: rhythm{Hours: make(map[int64]uint32)}}
}

// check raises the alarm silent, or clears it.
func (s *silence) check(ctx context.Context) {
	b := s.b
	if b.cfg.Alarms.Silent == 0 {
		b.clearAlarm(ctx, message.AlarmSilent, alarmOff)
		return
	}
	state, now := b.journal.current(), b.cfg.Clock(time.Now())
	if b.cfg.Alarms.Silent < 0 {
		s.countEvents(ctx, now)
	}
	from := quietSince(state)
	switch {
	case state.State != record.Connected || state.Unanswered || from.IsZero():
		return // there is no connection that could be silent; a silence from before may go on
	case b.cfg.Alarms.Silent < 0 && !s.loaded:
		return // the rhythm is not known yet
	}
	since := from.Format(time.RFC3339)
	var events uint64
	var hours int
	if b.cfg.Alarms.Silent < 0 && now.Sub(from) >= silentHours*time.Hour { // otherwise too short for silentHours
		events, hours = s.rhythm.expected(from, now)
	}
	switch {
	case b.cfg.Alarms.Silent > 0 && now.Sub(from) > b.cfg.Alarms.Silent:
		b.raiseAlarm(ctx, message.AlarmSilent, fmt.Sprintf("heartbeats are answered, but no event has come since %s; over %v is silent: %s", since, b.cfg.Alarms.Silent, silentAdvice))
	case hours >= silentHours && events >= silentEvents:
		b.raiseAlarm(ctx, message.AlarmSilent, fmt.Sprintf("heartbeats are answered, but no event has come since %s, although each of the two weeks before had at least %d in the same hours: %s", since, events, silentAdvice))
	case state.LastEvent.Equal(from):
		b.clearAlarm(ctx, message.AlarmSilent, "events are arriving again")
	default:
		b.clearAlarm(ctx, message.AlarmSilent, "the connection is new")
	}
}

const silentAdvice = "is the app still active, are its events still subscribed and its user still authorised on Zoom's page, and does Zoom report trouble?"

// countEvents counts events. At first, and whenever an hour is over, it updates the rhythm
// in the bucket, so that a crash loses the count of less than an hour.
func (s *silence) countEvents(ctx context.Context, now time.Time) {
	hour := hourOf(now)
	if events := s.b.events.Load(); events > s.counted {
		s.unsaved.Hours[hour] += uint32(events - s.counted)
		s.counted = events
	}
	over := len(s.unsaved.Hours) > 1 || len(s.unsaved.Hours) == 1 && s.unsaved.Hours[hour] == 0
	if s.loaded && !over || time.Now().Before(s.retry) {
		return
	}
	s.save(ctx, now)
}

// saveLast saves the rest when this replica no longer leads.
func (s *silence) saveLast() {
	if s.b.cfg.Alarms.Silent >= 0 || s.b.events.Load() == s.counted && len(s.unsaved.Hours) == 0 {
		return
	}
	now := s.b.cfg.Clock(time.Now())
	s.unsaved.Hours[hourOf(now)] += uint32(s.b.events.Load() - s.counted)
	ctx, cancel := context.WithTimeout(context.Background(), lastSaveTimeout)
	defer cancel()
	s.save(ctx, now)
}

// save merges what is unsaved into what is stored. After a failure the next attempt is due
// in rhythmRetry.
func (s *silence) save(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if err := s.update(ctx, now); err != nil {
		s.loaded = false // another replica may have written
		s.retry = time.Now().Add(rhythmRetry)
		s.b.cfg.Log.Debug().Str("code", "rhythm.unwritten").Err(err).Msg("rhythm of the subscription not stored; trying again")
	}
}

func (s *silence) update(ctx context.Context, now time.Time) error {
	key := record.RhythmPrefix + s.b.cfg.Subscription
	if !s.loaded {
		entry, err := s.b.cfg.States.Get(ctx, key)
		if err != nil {
			return err
		}
		s.rhythm = rhythm{}
		if entry.Value != nil && (len(entry.Value) > record.MaxBytes || json.Unmarshal(entry.Value, &s.rhythm) != nil) {
			s.rhythm = rhythm{}
			s.b.cfg.Log.Warn().Str("code", "rhythm.unreadable").Msg("the stored rhythm of the subscription cannot be read; learning it from scratch")
		}
		s.revision, s.loaded = entry.Revision, true
		s.rhythm.merge(rhythm{}, now)
	}
	if len(s.unsaved.Hours) == 0 {
		return nil
	}
	next := rhythm{}
	next.merge(s.rhythm, now)
	next.merge(s.unsaved, now)
	value, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode the rhythm: %w", err)
	}
	revision, err := s.b.cfg.States.Put(ctx, key, value, s.revision, 0)
	if err != nil {
		return err
	}
	s.rhythm, s.revision = next, revision
	clear(s.unsaved.Hours)
	return nil
}

// quietSince is the time since which an event could have come but none has: the last event
// or the end of the last gap, whichever is later, or else the term's first connection.
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
