package zoomsim

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// meetingFile has the bodies of a meeting's events, with placeholders that EmitMeeting fills in.
//
//go:embed meeting.txt
var meetingFile string

// Meeting identifies the meeting that several events are about.
type Meeting struct {
	ID   int64  `json:"id"`   // the meeting's number
	UUID string `json:"uuid"` // of this instance of the meeting
}

// NewMeeting returns a new instance of the meeting with this number; 0 makes up a number.
func NewMeeting(id int64) Meeting {
	if id == 0 {
		id = 80_000_000_000 + rand.Int64N(10_000_000_000)
	}
	random := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	random = binary.BigEndian.AppendUint64(random, rand.Uint64())
	return Meeting{ID: id, UUID: base64.StdEncoding.EncodeToString(random)}
}

// EmitMeeting emits six events: a meeting is created and starts, a participant joins and leaves, it
// ends, and its recording is completed. They are pace apart, at least a millisecond. Their ids,
// host, topic and participant match, and each time in them is the one at which the corresponding
// event was emitted. It returns the entries of the emitted events, and an error if it could not
// emit all.
func (s *Sim) EmitMeeting(ctx context.Context, subscription string, m Meeting, pace time.Duration) (entries []Entry, err error) {
	var times []time.Time
	words := []string{"$ID", strconv.FormatInt(m.ID, 10), "$UUID", m.UUID}
	for body := range strings.Lines(meetingFile) {
		if len(times) > 0 {
			if err := s.sleep(ctx, max(pace, time.Millisecond)); err != nil {
				return entries, fmt.Errorf("meeting: stopped after event %d: %w", len(times), err)
			}
		}
		now := time.Now()
		times = append(times, now)
		words = append(words, fmt.Sprint("$TIME", len(times)), now.UTC().Format("2006-01-02T15:04:05Z"))
		if len(times) == 5 {
			words = append(words, "$MINUTES", fmt.Sprint(int(now.Sub(times[1]).Minutes())))
		}
		filled := strings.NewReplacer(append(words, "$MS", fmt.Sprint(now.UnixMilli()))...).Replace(strings.TrimSpace(body))
		entries = append(entries, s.Emit(subscription, Event{Body: []byte(filled)}))
	}
	return entries, nil
}
