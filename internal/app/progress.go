package app

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
)

// storing is what health calls the way of messages into the stream.
const storing = "storing"

// progress knows whether the messages that wait to be stored get on.
type progress struct {
	oldest time.Time // that waited at the last look
	acked  uint64
}

// stalled reports whether messages wait and none has got on since the last look,
// although NATS and the disk are there: then this process itself holds them up.
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

// checkProgress beats for the way into the stream, unless it is stalled.
func (m *monitor) checkProgress(p *progress) {
	if r := m.replica.Load(); r != nil && p.stalled(r.outbox.Stats(), r.nc.IsConnected()) {
		return
	}
	m.health.Beat(storing)
}
