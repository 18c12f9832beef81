package app

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/bridge"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/pipeline"
	"github.com/zoomstream/zoomstream/internal/provision"
)

// finishTimeout bounds the wait for NATS when nothing more is received.
const finishTimeout = 5 * time.Second

// openPipeline makes the way of all messages into the stream.
func (r *replica) openPipeline() {
	cfg := r.o.Config
	r.quarantine = bridge.NewQuarantine(r.nc, cfg.Prefix, r.mode, max(0, int(r.stream.Config.MaxMsgSize)), func() []string {
		s := r.monitor.secrets.Load()
		return []string{s.clientSecret, s.secretToken, r.tokens.Cached(), s.clientID}
	}, r.monitor.metrics.TooLarge, r.o.Log)
	r.pipeline = pipeline.New(r.nc, pipeline.Options{
		Stream: cfg.Stream, DuplicateWindow: r.stream.Config.Duplicates, After: r.stream.State.LastSeq, Refused: r.quarantine.Refused,
		SpoolDir: cfg.SpoolDir, SpoolMax: cfg.SpoolMax, Alarm: r.alarm, Inherited: r.inherited,
		Published: r.monitor.metrics.Published, Tick: func() { r.monitor.health.Beat("publishing") }, Log: r.o.Log,
	})
}

const (
	// repairPeriod is how often a stream that takes nothing is looked for.
	repairPeriod = 2 * time.Second
	// repairTimeout bounds one look.
	repairTimeout = 5 * time.Second
)

// repair creates the stream again if somebody has deleted it, and if it was one of
// zoomstream's own making. Another team's stream is theirs to restore: the alarm
// stands, and events are kept, until they have.
func (r *replica) repair(ctx context.Context) {
	tick := time.NewTicker(repairPeriod)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !errors.Is(r.pipeline.Stats().Publisher.Err, jetstream.ErrNoStreamResponse) || !r.missing(ctx) {
			told = false
			continue
		}
		if !natsconn.Ours(r.stream.Config) {
			if !told {
				r.o.Log.Error().Str("code", "stream.gone").Str("stream", r.o.Config.Stream).Msg("the stream was deleted; it is not zoomstream's own, so whoever made it must restore it; events are kept until then")
			}
			told = true
			continue
		}
		if err := r.recreate(ctx); err != nil {
			r.o.Log.Error().Str("code", "stream.gone").Err(err).Str("stream", r.o.Config.Stream).Msg("the stream was deleted and cannot be created again; trying on")
			continue
		}
		r.o.Log.Warn().Str("code", "stream.recreated").Str("stream", r.o.Config.Stream).Msg("the stream was gone (deleted, or NATS came back without its data); it is created again")
	}
}

// missing reports whether JetStream says that there is no such stream.
func (r *replica) missing(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	js, err := jetstream.New(r.nc)
	if err != nil {
		return false
	}
	_, err = js.Stream(ctx, r.o.Config.Stream)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

func (r *replica) recreate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	js, err := jetstream.New(r.nc)
	if err != nil {
		return err
	}
	_, _, _, err = natsconn.EnsureStream(ctx, js, provision.Options{Config: r.o.Config, Version: r.o.Version, MaxMessage: int(r.nc.MaxPayload()), Log: r.o.Log}.Stream())
	return err
}

// finish waits until all that was received is stored, or on disk.
func (r *replica) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	return r.pipeline.Finish(ctx)
}
