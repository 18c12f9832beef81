package bridge

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// TestGapByAStranger: a process that stood still may read a displacement up to a second late, while
// the stranger gets the events. The gap begins that much sooner, but not before the connection.
func TestGapByAStranger(t *testing.T) {
	b := New(nil, nil, testConfig(t, nil, zerolog.Nop()))
	read := time.Now().UTC()
	last := record.State{Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: read, LastFrame: read.Add(-200 * time.Millisecond)}
	for cause, want := range map[message.GapCause]time.Duration{
		message.GapKicked:       time.Second,
		message.GapDisconnected: 0, // the session knows when the connection ended
	} {
		gap := b.newGap(last, last.Since, read.Add(5*time.Second), 2, cause, true)
		if got := read.Sub(gap.From); got != want {
			t.Errorf("%s: it begins %v sooner, want %v", cause, got, want)
		}
	}
	for early, change := range map[time.Duration]func(*record.State){
		100 * time.Millisecond: func(s *record.State) { s.First = read.Add(-100 * time.Millisecond) },
		200 * time.Millisecond: func(s *record.State) {
			s.First, s.LastGap = read.Add(-time.Minute), &message.Gap{To: read.Add(-200 * time.Millisecond)}
		},
		0: func(s *record.State) { s.First = read.Add(time.Hour) }, // another clock's time
	} {
		short := last
		change(&short)
		if got := read.Sub(b.newGap(short, read, read.Add(time.Second), 2, message.GapKicked, true).From); got != early {
			t.Errorf("of a connection that was ready %v before, it begins %v sooner", early, got)
		}
	}
	if gap := b.newGap(last, time.Time{}, read, 2, message.GapKicked, true); !gap.From.Equal(read) {
		t.Errorf("since when is not known, and it begins %v", gap.From)
	}
}
