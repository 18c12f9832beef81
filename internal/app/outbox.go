package app

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/outbox"
)

// drainTimeout bounds the wait for NATS once nothing more is received.
const drainTimeout = 5 * time.Second

// openOutbox makes the outbox, which carries all messages into the stream. lastSequence is the
// stream's last sequence.
func (r *replica) openOutbox(lastSequence uint64) {
	cfg := r.o.Config
	r.quarantine = bridge.NewQuarantine(r.nc, r.stream, func() []string {
		s := r.monitor.secrets.Load()
		return []string{s.clientSecret, s.secretToken, r.tokens.Cached(), s.clientID}
	}, r.monitor.metrics.TooLarge, r.o.Log)
	r.spooled.prefix, r.spooled.alarms = cfg.Prefix, make(map[replicaAlarm]bool)
	r.outbox = outbox.New(r.js, outbox.Options{
		Stream: cfg.Stream, DuplicateWindow: r.stream.DuplicateWindow, After: lastSequence, Refused: r.quarantine.Refused,
		SpoolDir: cfg.SpoolDir, SpoolMax: cfg.SpoolMax, Replayed: r.spooled.noteReplayed, Damaged: r.spooled.noteDamage,
		Published: r.monitor.metrics.Published, Tick: func() { r.monitor.health.Beat("publishing") }, Log: r.o.Log,
	})
}

// drainOutbox waits until everything received is stored or on disk.
func (r *replica) drainOutbox() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return r.outbox.Drain(ctx)
}
