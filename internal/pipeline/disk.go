package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/spool"
)

const (
	// retryAfter is the pause before a disk that has failed is tried again.
	retryAfter = 2 * time.Second
	// patience is how often a left-over spool is tried until new messages go first.
	patience = 3
	// restAfter is how long an empty spool is kept open.
	restAfter = 5 * time.Second
)

// disk is what the mover knows of the spool.
type disk struct {
	folder   *spool.Folder // nil: not locked
	log      *spool.Log    // nil: not open
	begun    bool          // what another process has left in it is known
	tries    int           // to find that out
	retry    time.Time     // not to be tried before
	pending  writing       // the last batch, if its writing has failed
	ahead    []spool.Record
	leftOver uint64 // up to here another process has written
	doubtful uint64 // up to here that may have sent them
	removed  time.Time
	used     time.Time
}

// writing is a batch on its way to disk.
type writing struct {
	msgs  []*nats.Msg
	tags  []uint64 // of the messages, if they are in flight
	kept  []*kept  // the messages, if they are copies; else, if not in flight, they are the first of the backlog
	after uint64   // as for spool.Log.Append
	bytes int
}

func (w *writing) fits() bool { return len(w.msgs) < batch && w.bytes < batchBytes }

func (w *writing) add(it *item) {
	if len(w.msgs) == 0 {
		w.after = it.after // the oldest one's is right for all
	}
	w.msgs = append(w.msgs, it.msg)
	w.bytes += it.size
}

// lockSpool locks the folder, or tells that there is no spool.
func (p *Pipeline) lockSpool() bool {
	if p.opt.SpoolDir == "" {
		return false
	}
	folder, err := spool.Lock(p.opt.SpoolDir)
	if err != nil {
		p.failed(err)
		return false
	}
	p.disk.folder = folder
	p.usable()
	return true
}

func (p *Pipeline) unlockSpool() {
	p.closeSpool()
	if p.disk.folder == nil {
		return
	}
	if err := p.disk.folder.Unlock(); err != nil {
		p.opt.Log.Warn().Err(err).Msg("the spool folder is not unlocked")
	}
}

// openSpool opens the spool if it is not open, and reports whether it is.
func (p *Pipeline) openSpool(ctx context.Context) bool {
	d := &p.disk
	if d.log != nil {
		return time.Now().After(d.retry)
	}
	if p.opt.SpoolDir == "" || time.Now().Before(d.retry) || d.folder == nil && !p.lockSpool() {
		return false
	}
	log, err := d.folder.Open(ctx, p.opt.SpoolMax, p.opt.Log)
	if err != nil {
		d.tries++
		p.failed(err)
		return false
	}
	d.log, d.ahead, d.used = log, nil, time.Now()
	if !d.begun {
		p.begin(ctx)
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.compare()
	return true
}

// begin begins with what another process has left.
func (p *Pipeline) begin(ctx context.Context) {
	d := &p.disk
	d.begun = true
	newest, err := d.log.Newest(ctx)
	if err != nil {
		p.opt.Log.Warn().Err(err).Msg("it is not known when the last events in the spool were received")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = newest
	p.next, p.last, p.removed, p.bytes = d.log.First(), d.log.Last(), d.log.First()-1, d.log.Bytes()
	if p.last < p.next {
		return
	}
	p.direct, p.since = false, time.Now()
	d.leftOver, d.doubtful = p.last, min(p.last, p.next+inDoubt)
	p.opt.Log.Info().Uint64("events", p.last+1-p.next).Str("dir", p.opt.SpoolDir).Msg("publishing what an earlier run has left in the spool")
}

// LeftOver returns the headers of the last message of a subscription that an
// earlier process has left in the spool, nil if there is none. It waits until
// that is known.
func (p *Pipeline) LeftOver(ctx context.Context, subscription string) nats.Header {
	select {
	case <-p.looked:
	case <-ctx.Done():
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, header := range p.newest {
		if header.Get(headerSubscription) == subscription {
			return header
		}
	}
	return nil
}

// compare goes on with a spool that was opened again. The caller holds p.mu.
func (p *Pipeline) compare() {
	d := &p.disk
	last := d.log.Last()
	p.bytes = d.log.Bytes()
	switch {
	case p.next > p.last && p.removed == p.last && last < p.last: // it was empty and was removed
		p.next, p.last, p.removed = last+1, last, last
		d.leftOver, d.doubtful = 0, 0
	case last < p.last:
		p.opt.Log.Error().Uint64("events", p.last-last).Str("dir", p.opt.SpoolDir).Msg("the newest events of the spool are gone from the disk")
		p.last, p.next = last, min(p.next, last+1)
	case last > p.last:
		p.written(d.pending, int(last-p.last))
	}
	d.pending = writing{}
}

// write writes a batch and reports whether all of it is on disk.
func (p *Pipeline) write(ctx context.Context, w writing) bool {
	log := p.disk.log
	before := log.Last()
	err := log.Append(ctx, w.msgs, w.after, len(w.kept) > 0)
	p.disk.used = time.Now()
	p.mu.Lock()
	p.written(w, int(log.Last()-before))
	p.bytes = log.Bytes()
	p.mu.Unlock()
	if err == nil {
		p.usable()
	} else {
		n := int(log.Last() - before)
		p.disk.pending = writing{msgs: w.msgs[n:], tags: w.tags[min(n, len(w.tags)):], kept: w.kept[min(n, len(w.kept)):]}
		p.failed(err)
	}
	return err == nil
}

// written notes that the first messages of a batch are on disk. The caller holds
// p.mu.
func (p *Pipeline) written(w writing, count int) {
	for n := range min(count, len(w.msgs)) {
		p.last++
		switch {
		case len(w.kept) > 0:
			w.kept[n].sequence = p.last
			if p.next == p.last { // else it is passed over when it is read
				p.next++
			}
		case len(w.tags) > 0:
			p.next = p.last + 1 // the publisher has it
			if tag := w.tags[n]; tag >= p.flight.first && !p.flight.at(tag).done {
				p.flight.at(tag).sequence = p.last
				p.safe(p.flight.at(tag).line)
			}
		default:
			it := p.dropBacklog()
			p.safe(it.line)
		}
	}
	p.notify()
}

func (p *Pipeline) safe(l *Line) {
	if l != nil {
		l.saved(1)
	}
}

// waits reports whether new messages wait for what another process has left. If
// that cannot be read, they do not for long.
func (d *disk) waits() bool { return !d.begun && d.tries < patience }

// failed notes that the disk cannot be used for now.
func (p *Pipeline) failed(err error) {
	d := &p.disk
	d.retry = time.Now().Add(retryAfter)
	if !errors.Is(err, spool.ErrFull) && d.log != nil {
		d.log.Close() //nolint:errcheck // it has failed
		d.log = nil
	}
	p.mu.Lock()
	known := p.spoolErr != nil
	p.spoolErr = err
	p.mu.Unlock()
	if !known {
		p.opt.Log.Error().Err(err).Msg("the spool cannot be used; received events are held in memory, and at its bound Zoom has to wait")
	}
}

// usable notes that the disk can be used.
func (p *Pipeline) usable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoolErr = nil
}

// rest closes a spool that has been empty for long.
func (p *Pipeline) rest() {
	d := &p.disk
	p.mu.Lock()
	empty := p.removed == p.last
	p.mu.Unlock() // what is kept pins removed
	if d.log != nil && empty && time.Since(d.used) > restAfter {
		p.closeSpool()
	}
}

func (p *Pipeline) closeSpool() {
	if p.disk.log == nil {
		return
	}
	if err := p.disk.log.Close(); err != nil {
		p.opt.Log.Warn().Err(err).Msg("the spool is not closed properly")
	}
	p.disk.log = nil
}
