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
	// latest is how many samples of its history a line keeps in messages without
	// it: enough to bridge messages that a viewer has skipped.
	latest = 5
)

// Page is the status page. It is an [http.Handler]; Run feeds it.
type Page struct {
	source Source
	log    zerolog.Logger
	mux    http.Handler
	wake   chan struct{} // there is a first viewer

	searching chan struct{} // holds one while somebody searches
	reading   chan struct{} // holds one for each whole event that is read

	mu      sync.Mutex // not held across I/O
	viewers map[*viewer]struct{}
	over    bool

	// Of Run alone.
	last frame
	said [3]string // errors of the source that are logged
}

// viewer is a browser that listens.
type viewer struct {
	slot  chan *frame // holds one; closed at the end
	fresh bool        // it has no history yet
}

// frame is what a message is made of: JSON, and errors of the source.
type frame struct {
	at       time.Time
	full     bool // the overview is with history
	overview part
	events   part
	timeline part
	errors   []string
	failed   map[string]failure // by part
}

// part is sent again only when it has changed.
type part struct {
	json    []byte
	version int
	read    time.Time // the last time that it was had whole
	partial bool      // it came with an error
}

// failure says of a part that could not be had how old what is shown of it is.
type failure struct {
	Error   string    `json:"error"`
	Read    time.Time `json:"read,omitzero"`
	Partial bool      `json:"partial,omitempty"` // what is shown is what came with the error
}

// set takes what the source has returned at a time, together with an error or none.
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

// New makes a page. Its viewers get nothing before Run runs.
func New(source Source, log zerolog.Logger) *Page {
	p := &Page{source: source, log: log, wake: make(chan struct{}, 1), searching: make(chan struct{}, 1), reading: make(chan struct{}, readAtOnce), viewers: make(map[*viewer]struct{})}
	p.mux = p.routes()
	return p
}

// Run asks the source while anybody watches, until ctx is done. Then it ends the
// viewers' requests, which [http.Server.Shutdown] would wait for.
func (p *Page) Run(ctx context.Context) {
	defer p.end()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if watched, history := p.wanted(); watched {
			p.poll(ctx, history)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-tick.C:
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

// poll asks for everything at once and hands it to the viewers.
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
			full, _ = json.Marshal(overview) // if it fails, so has the one before
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

// tell words the source's errors, and logs those that are new.
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
		if i == 0 || text != p.said[0] { // else one cause is told once
			words = append(words, fmt.Sprintf("%s: %s", what, text))
		}
		if said != text {
			p.log.Debug().Str("code", "page.source").Str("error", text).Msg("status page: " + what)
		}
	}
	return words
}

// withLatest is an overview without all but the latest of its history.
func withLatest(o *status.Overview) *status.Overview {
	short := *o
	short.Subscriptions = append([]status.Line{}, o.Subscriptions...)
	for i := range short.Subscriptions {
		h := &short.Subscriptions[i].History
		*h = (*h)[max(0, len(*h)-latest):]
	}
	return &short
}

// deliver leaves a frame to each viewer; with history to those that have none.
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
		// One that is slow skips messages, but not its only one with history.
		select {
		case old := <-v.slot:
			if old.full {
				f = old
			}
		default:
		}
		v.slot <- f // there is room: nobody else sends
	}
}

// join adds a viewer, unless there are too many or the end has come.
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
