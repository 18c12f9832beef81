package app

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
)

// storing is the health check's name for the path of messages into the stream.
const storing = "storing"

// progress tells whether the messages that wait to be stored make progress.
type progress struct {
	oldest time.Time // the oldest waiting message at the last check
	acked  uint64
}

// stalled reports whether messages wait and none has moved since the last check, although NATS and
// the disk are available. Then this process itself is at fault.
func (p *progress) stalled(st outbox.Stats, connected bool) bool {
	last := *p
	p.oldest, p.acked = st.Oldest, st.Publisher.Acked
	switch {
	case !connected || st.Trouble != nil || st.SpoolErr != nil:
		return false
	case !st.Oldest.IsZero():
		return st.Oldest.Equal(last.oldest)
	}
	return st.Spooled > 0 && p.acked == last.acked
}

// checkProgress beats for the path into the stream, unless it is stalled.
func (m *monitor) checkProgress(p *progress) {
	if r := m.replica.Load(); r != nil && p.stalled(r.outbox.Stats(), r.nc.IsConnected()) {
		return
	}
	m.health.Beat(storing)
}
