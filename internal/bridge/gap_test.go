package bridge

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// TestGapByAStranger: a displacement may have been read up to a second late by a process that
// stood still, and the stranger got the events meanwhile.
func TestGapByAStranger(t *testing.T) {
	b := New(nil, nil, testConfig(t, nil, zerolog.Nop()))
	read := time.Now().UTC()
	for _, c := range []struct {
		cause message.GapCause
		frame time.Duration // before the end was read; negative: none is known
		early time.Duration // how much sooner the gap begins
	}{
		{message.GapKicked, 200 * time.Millisecond, 200 * time.Millisecond},
		{message.GapKicked, 20 * time.Second, time.Second},
		{message.GapKicked, -1, 0},
		{message.GapDisconnected, 20 * time.Second, 0}, // its session knows since when
	} {
		last := record.State{Replica: "a", Nonce: "before", Epoch: 3, Connection: 1, Since: read}
		if c.frame >= 0 {
			last.LastFrame = read.Add(-c.frame)
		}
		gap := b.newGap(last, last.Since, read.Add(5*time.Second), 2, c.cause, true)
		if got := read.Sub(gap.From); got != c.early {
			t.Errorf("%s, %v after the last frame: it begins %v sooner, want %v", c.cause, c.frame, got, c.early)
		}
	}
}
