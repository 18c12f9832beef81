package bridge

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

// Status is a snapshot of a Bridge, for people.
type Status struct {
	State     record.State
	Adopting  bool          // State does not yet include what the previous term left
	Trouble   string        // why there is no connection; empty: there is one, or none was tried
	RoundTrip time.Duration // of the latest heartbeat; 0: none was answered yet
	InFlight  int           // messages received and not yet stored
}

// Status returns the current status, also after Run has returned.
func (b *Bridge) Status() Status {
	s := Status{Adopting: b.journal.currentPhase() < adopted, State: b.journal.current(), InFlight: b.line.Stats().Pending}
	if session := b.session.Load(); session != nil {
		s.RoundTrip = session.RoundTrip()
	}
	if trouble := b.trouble.Load(); trouble != nil {
		s.Trouble = *trouble
	}
	return s
}

// setTrouble records why there is no connection.
func (b *Bridge) setTrouble(err error) {
	text := err.Error()
	b.trouble.Store(&text)
}
