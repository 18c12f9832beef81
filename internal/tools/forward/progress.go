package forward

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
	"github.com/zoomstream/zoomstream/message"
)

const (
	reportEvery  = time.Minute
	refusalEvery = time.Minute
)

// progress records how far a delivery is.
type progress struct {
	delivered atomic.Uint64 // number of events
	refused   atomic.Uint64 // number of attempts
	dead      atomic.Uint64 // number of dead letters
	pending   atomic.Uint64 // messages in the stream, not handed out
	removed   atomic.Uint64 // messages that the stream removed before they were handed out
	stored    atomic.Int64  // when the stream stored the last delivered event, in Unix nanoseconds
	load      atomic.Pointer[load]

	reported uint64 // value of delivered at the last report

	mu     sync.Mutex
	warned time.Time // when a refusal was last logged
	unsaid int       // refusals since
}

func (p *progress) handedOut(meta *jetstream.MsgMetadata) { p.pending.Store(meta.NumPending) }

func (p *progress) delivery(m *inspect.Message) {
	p.delivered.Add(1)
	if !m.Stored.IsZero() {
		p.stored.Store(m.Stored.UnixNano())
	}
}

// refusal counts a refused attempt, and logs at most one a minute.
func (p *progress) refusal(log zerolog.Logger, m *inspect.Message, attempt int, r *webhook.Refusal) {
	p.refused.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsaid++
	if time.Since(p.warned) < refusalEvery {
		return
	}
	log.Warn().Str("code", "forward.refused").Str("reason", r.Code).Str("detail", r.Text).Int("attempt", attempt).Uint64("stream_seq", m.Sequence).
		Str("id", m.Header.Get(message.HeaderID)).Int("count", p.unsaid).Msg("the endpoint did not accept an event; trying again")
	p.warned, p.unsaid = time.Now(), 0
}

// load summarises what is in flight.
type load struct {
	inFlight int
	oldest   time.Time // when the stream stored the oldest event; zero: none
}

// lag returns the age of the oldest event in flight.
func (l load) lag() time.Duration {
	if l.oldest.IsZero() {
		return 0
	}
	return max(0, time.Since(l.oldest))
}

// report logs the progress, unless there is none and nothing is in flight.
func (p *progress) report(log zerolog.Logger, name string) {
	delivered := p.delivered.Load()
	if delivered == p.reported && p.load.Load().inFlight == 0 {
		return
	}
	p.reported = delivered
	log.Info().Str("code", "forward.progress").Func(p.fields(name)).Msg("progress of the delivery")
}

func (p *progress) end(log zerolog.Logger, name string) {
	log.Info().Str("code", "forward.ended").Func(p.fields(name)).Msg("the delivery ended; what is in flight goes back to the stream")
}

func (p *progress) fields(name string) func(*zerolog.Event) {
	l := p.load.Load()
	return func(e *zerolog.Event) {
		e.Str("name", name).Uint64("delivered", p.delivered.Load()).Uint64("refused", p.refused.Load()).Uint64("dead", p.dead.Load()).
			Uint64("pending", p.pending.Load()).Uint64("removed", p.removed.Load()).
			Int("in_flight", l.inFlight).Float64("lag_s", l.lag().Round(time.Millisecond).Seconds())
		if at := p.stored.Load(); at != 0 {
			e.Time("last_stored_at", time.Unix(0, at).UTC())
		}
	}
}
