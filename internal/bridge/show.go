package bridge

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

// Condition is how a Bridge fares, for people.
type Condition struct {
	State     record.State
	Trouble   string        // why there is no connection
	RoundTrip time.Duration // of the latest heartbeat; 0: none was answered yet
	InFlight  int           // messages received and not yet stored
}

// Condition may be called at any time.
func (b *Bridge) Condition() Condition {
	c := Condition{State: b.journal.current(), InFlight: b.line.Stats().Pending}
	if s := b.session.Load(); s != nil {
		c.RoundTrip = s.RoundTrip()
	}
	if trouble := b.trouble.Load(); trouble != nil {
		c.Trouble = *trouble
	}
	return c
}

// failed notes why there is no connection.
func (b *Bridge) failed(err error) {
	text := err.Error()
	b.trouble.Store(&text)
}
