package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
)

const (
	// watchPeriod is how often the stream is checked while it has a problem or takes no messages,
	// since it may be gone. The server reports a missing stream at once only if nobody else
	// subscribes to the subject; otherwise a publish just times out.
	watchPeriod = 2 * time.Second
	// watchIdle is how often it is checked while all is well, as nobody may be publishing.
	watchIdle = 15 * time.Second
	// watchTimeout bounds one check.
	watchTimeout = 5 * time.Second
)

// streamWatch checks the stream periodically, since it may be deleted or edited while this process
// runs. It recreates a stream that zoomstream made. One that belongs to somebody else is theirs to
// restore: until then the alarm stands and events are kept.
type streamWatch struct {
	r       *replica
	wanted  natsconn.StreamOptions
	problem atomic.Pointer[string] // for other goroutines

	// Below: used by run only.
	last          time.Time
	ours          bool
	ownerRecorded bool // in the states bucket
	findings      []natsconn.Finding
}

func newStreamWatch(r *replica, found *provision.Prepared) *streamWatch {
	wanted := provision.Options{Config: r.o.Config, Version: r.o.Version, MaxMessage: int(r.nc.MaxPayload()), Log: r.o.Log}.Stream()
	return &streamWatch{r: r, wanted: wanted, ours: natsconn.Ours(found.Stream.Config), findings: found.Findings}
}

// currentProblem returns why the stream takes no events; "" if no reason is known. It is safe for
// concurrent use.
func (w *streamWatch) currentProblem() string {
	if problem := w.problem.Load(); problem != nil {
		return *problem
	}
	return ""
}

// run watches until the context ends.
func (w *streamWatch) run(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		if w.due() {
			w.check(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *streamWatch) due() bool {
	if !w.r.nc.IsConnected() {
		return false
	}
	return w.currentProblem() != "" || w.r.outbox.Stats().Publisher.Err != nil || time.Since(w.last) >= watchIdle
}

func (w *streamWatch) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	w.last = time.Now()
	info, findings, err := natsconn.FindStream(ctx, w.r.js, w.wanted)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		w.restore(ctx)
	case err == nil:
		w.recordOwner(ctx, info.Config)
		w.reportFindings(findings)
	} // otherwise unknown, so the last finding stands
}

// restore handles a deleted stream.
func (w *streamWatch) restore(ctx context.Context) {
	log := w.r.o.Log.With().Str("stream", w.wanted.Name).Logger()
	if !w.ours {
		why := fmt.Sprintf("stream %s is gone, and zoomstream did not create it: whoever did must restore it; events are kept until then", w.wanted.Name)
		if w.setProblem(why) {
			log.Error().Str("code", "stream.gone").Msg("the stream was deleted; zoomstream did not create it, so whoever did must restore it; events are kept until then")
		}
		return
	}
	if _, _, _, err := natsconn.EnsureStream(ctx, w.r.js, w.wanted); err != nil {
		if w.setProblem(fmt.Sprintf("stream %s is gone and cannot be created again: %v", w.wanted.Name, err)) {
			log.Error().Str("code", "stream.gone").Err(err).Msg("the stream was deleted and cannot be created again; still trying")
		}
		return
	}
	// The next check that finds the stream clears the alarm.
	w.setProblem(fmt.Sprintf("stream %s was gone (deleted, or NATS came back without its data) and has been created again; the events in it are lost", w.wanted.Name))
	log.Warn().Str("code", "stream.recreated").Msg("the stream was gone (deleted, or NATS came back without its data); it has been created again")
}

// reportFindings logs new findings about the stream, and raises the alarm if one stops all events.
func (w *streamWatch) reportFindings(findings []natsconn.Finding) {
	problem := ""
	for _, f := range findings {
		if !slices.Contains(w.findings, f) {
			w.r.o.Log.Warn().Str("code", "stream.unfit").Str("stream", w.wanted.Name).Str("fix", f.Fix).Msg(f.Problem)
		}
		if f.Fatal && problem == "" {
			problem = f.Problem + "; " + f.Fix
		}
	}
	w.findings = findings
	w.setProblem(problem)
}

// setProblem raises the alarm, or clears it with "", and reports whether the text has changed.
func (w *streamWatch) setProblem(problem string) (changed bool) {
	changed = w.currentProblem() != problem
	w.problem.Store(&problem)
	return changed
}

// recordOwner records who made the stream: it may be deleted and recreated by somebody else.
func (w *streamWatch) recordOwner(ctx context.Context, stream jetstream.StreamConfig) {
	ours := natsconn.Ours(stream)
	if w.ownerRecorded && ours == w.ours {
		return
	}
	w.ours = ours
	err := provision.RecordOwner(ctx, w.r.states, stream)
	w.ownerRecorded = err == nil
	if err != nil {
		w.r.o.Log.Debug().Str("code", "stream.owner").Err(err).Msg("cannot record who owns the stream; trying again")
	}
}
