package page

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

const (
	pollEvery   = time.Second
	pollTimeout = 5 * time.Second
	maxViewers  = 100
	// latest is how many samples of its history a line keeps in messages without the full history:
	// enough to cover messages that a slow viewer has skipped.
	latest = 5
)

// Page is the status page. It is an [http.Handler]; Run feeds it.
type Page struct {
	source Source
	log    zerolog.Logger
	mux    http.Handler
	wake   chan struct{} // signalled by the first viewer

	searching chan struct{} // semaphore of one search
	reading   chan struct{} // semaphore of the whole events being read

	mu      sync.Mutex // not held across I/O
	viewers map[*viewer]struct{}
	over    bool

	// Below: used by Run only.
	last frame
	said [3]string // latest errors of the source, as logged
}

// viewer is a connected browser.
type viewer struct {
	slot  chan *frame // holds one frame; closed at the end
	fresh bool        // has not been given the history yet
}

// frame is the content of a message: encoded JSON, and the source's errors.
type frame struct {
	at       time.Time
	full     bool // the overview includes the history
	overview part
	events   part
	timeline part
	errors   []string
	failed   map[string]failure // by part
}

// part is one section of a message. It is sent again only when its version has changed.
type part struct {
	json    []byte
	version int
	read    time.Time // when it was last read without an error
	partial bool      // it was returned together with an error
}

// failure describes a part that could not be read, and the age of what is shown instead.
type failure struct {
	Error   string    `json:"error"`
	Read    time.Time `json:"read,omitzero"`
	Partial bool      `json:"partial,omitempty"` // what is shown was returned together with the error
}

// set stores what the source returned at a time, with its error if any, and returns the error.
func (p *part) set(v any, at time.Time, err error) error {
	data, failed := json.Marshal(v)
	if failed != nil {
		return cmp.Or(err, failed)
	}
	if !bytes.Equal(data, p.json) {
		p.json, p.version = data, p.version+1
	}
	p.partial = err != nil
	if err == nil {
		p.read = at
	}
	return err
}

// New returns a page. Viewers get nothing before Run.
func New(source Source, log zerolog.Logger) *Page {
	p := &Page{source: source, log: log, wake: make(chan struct{}, 1), searching: make(chan struct{}, 1), reading: make(chan struct{}, readAtOnce), viewers: make(map[*viewer]struct{})}
	p.mux = p.routes()
	return p
}

// Run queries the source while anybody watches, until ctx is done. Then it ends the viewers'
// requests, since [http.Server.Shutdown] would wait for them.
func (p *Page) Run(ctx context.Context) {
	defer p.end()
	pause := time.NewTimer(pollEvery)
	defer pause.Stop()
	for {
		if watched, history := p.wanted(); watched {
			p.poll(ctx, history)
		}
		pause.Reset(pollEvery)
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-pause.C:
		}
	}
}

func (p *Page) wanted() (watched, history bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for v := range p.viewers {
		history = history || v.fresh
	}
	return len(p.viewers) > 0, history
}

// poll queries everything concurrently and passes the result to the viewers.
func (p *Page) poll(ctx context.Context, history bool) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var (
		wg       sync.WaitGroup
		overview *status.Overview
		events   []Event
		moments  []Moment
		errs     [3]error
	)
	wg.Go(func() { overview, errs[0] = p.source.Overview(ctx, history) })
	wg.Go(func() { events, errs[1] = p.source.Events(ctx) })
	wg.Go(func() { moments, errs[2] = p.source.Timeline(ctx) })
	wg.Wait()

	f := p.last
	f.at = time.Now().UTC()
	var full []byte
	if overview != nil {
		errs[0] = f.overview.set(withLatest(overview), f.at, errs[0])
		if history {
			full, _ = json.Marshal(overview) // if this fails, set has failed as well
		}
	}
	if events != nil || errs[1] == nil {
		errs[1] = f.events.set(bounded(events), f.at, errs[1])
	}
	if moments != nil || errs[2] == nil {
		errs[2] = f.timeline.set(boundedMoments(moments), f.at, errs[2])
	}
	f.errors = p.tell(errs)
	f.failed = make(map[string]failure)
	for i, name := range []string{"overview", "events", "timeline"} {
		if of := []part{f.overview, f.events, f.timeline}[i]; errs[i] != nil {
			f.failed[name] = failure{p.said[i], of.read, of.partial}
		}
	}
	p.last = f
	p.deliver(f, full)
}

// tell formats the source's errors, and logs new ones.
func (p *Page) tell(errs [3]error) []string {
	words := []string{}
	for i, what := range []string{"the replicas cannot be asked", "the latest events cannot be read", "the timeline cannot be read"} {
		said := p.said[i]
		p.said[i] = ""
		if errs[i] == nil {
			continue
		}
		text := errs[i].Error()
		cut(&text)
		p.said[i] = text
		if i == 0 || text != p.said[0] { // otherwise the same cause would appear twice
			words = append(words, fmt.Sprintf("%s: %s", what, text))
		}
		if said != text {
			p.log.Debug().Str("code", "page.source").Str("error", text).Msg("status page: " + what)
		}
	}
	return words
}

// withLatest returns the overview with only the latest samples of its history.
func withLatest(o *status.Overview) *status.Overview {
	short := *o
	short.Subscriptions = append([]status.Line{}, o.Subscriptions...)
	for i := range short.Subscriptions {
		h := &short.Subscriptions[i].History
		*h = (*h)[max(0, len(*h)-latest):]
	}
	return &short
}

// deliver passes a frame to each viewer; to those without a history, one that includes it.
func (p *Page) deliver(plain frame, history []byte) {
	full := plain
	full.full, full.overview.json = true, history
	p.mu.Lock()
	defer p.mu.Unlock()
	for v := range p.viewers {
		f := &plain
		if v.fresh && history != nil {
			f, v.fresh = &full, false
		}
		// A slow viewer skips frames, but never the only one with the history.
		select {
		case old := <-v.slot:
			if old.full {
				f = old
			}
		default:
		}
		v.slot <- f // never blocks: the slot is empty and nobody else sends
	}
}

// join adds a viewer, unless there are too many or Run has ended.
func (p *Page) join() (v *viewer, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.viewers) >= maxViewers {
		return nil, false
	}
	v = &viewer{slot: make(chan *frame, 1), fresh: true}
	p.viewers[v] = struct{}{}
	if len(p.viewers) == 1 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return v, true
}

func (p *Page) leave(v *viewer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.viewers, v)
}

func (p *Page) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

func (p *Page) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for v := range p.viewers {
		close(v.slot)
	}
	clear(p.viewers)
}
