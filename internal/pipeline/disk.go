package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	broken   bool          // it can be read, but not written until it is opened again
	begun    bool          // what another process has left in it is known
	tries    int           // to find that out
	retry    time.Time     // not to be tried before
	pending  writing       // the last batch, if its writing has failed
	ahead    []spool.Record
	leftOver uint64 // up to here another process has written, and may have sent them
	removed  time.Time
	used     time.Time
}

// writing is a batch on its way to disk.
type writing struct {
	msgs  []*nats.Msg
	tags  []uint64 // of the messages, if they are in flight; else they are the first of the backlog
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

// writable reports whether the spool is open for writing.
func (d *disk) writable() bool { return d.log != nil && !d.broken }

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
	folder.Around = p.opt.AroundDisk
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
		p.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool folder is not unlocked")
	}
}

// openSpool opens the spool if it is not open, and reports whether it can be
// written. One that has failed is left as it is until the disk takes files again:
// it can still be read, but perhaps not be opened.
func (p *Pipeline) openSpool(ctx context.Context) bool {
	d := &p.disk
	if p.opt.SpoolDir == "" || time.Now().Before(d.retry) {
		return false
	}
	if d.writable() {
		return true
	}
	if d.log != nil {
		if err := d.folder.Probe(); err != nil {
			p.failed(err)
			return false
		}
		p.closeSpool()
	}
	if d.folder == nil && !p.lockSpool() {
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

// lookBack finds out whether another process has left something, if that is not
// known yet.
func (p *Pipeline) lookBack(ctx context.Context) {
	d := &p.disk
	if d.begun || time.Now().Before(d.retry) || d.folder == nil && !p.lockSpool() {
		return
	}
	if !d.folder.Used() {
		d.begun = true
		return
	}
	p.openSpool(ctx)
}

// begin begins with what another process has left.
func (p *Pipeline) begin(ctx context.Context) {
	d := &p.disk
	d.begun = true
	newest, err := d.log.Newest(ctx)
	if err != nil {
		p.opt.Log.Warn().Str("code", "spool.unread").Err(err).Msg("it is not known when the last events in the spool were received")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = newest
	if lost := d.log.Lost(); lost > 0 {
		p.harm(fmt.Sprintf("about %d bytes", lost))
	}
	p.next, p.last, p.removed, p.bytes = d.log.First(), d.log.Last(), d.log.First()-1, d.log.Bytes()
	if p.last < p.next {
		return
	}
	if p.direct {
		p.direct, p.since = false, time.Now()
	}
	d.leftOver = p.last
	p.opt.Log.Info().Str("code", "spool.replay").Uint64("events", p.last+1-p.next).Str("dir", p.opt.SpoolDir).Msg("publishing what an earlier run has left in the spool")
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
		p.recount(last)
	case last < p.last:
		p.opt.Log.Error().Str("code", "spool.damaged").Uint64("events", p.last-last).Str("dir", p.opt.SpoolDir).Msg("the newest events of the spool are gone from the disk")
		p.last, p.next, p.removed = last, min(p.next, last+1), min(p.removed, last)
		p.recount(last)
	case last > p.last:
		p.written(d.pending, int(last-p.last))
	}
	d.pending = writing{}
}

// recount forgets what was known of records behind a sequence: their numbers are
// given again. The caller holds p.mu.
func (p *Pipeline) recount(last uint64) {
	p.disk.leftOver = min(p.disk.leftOver, last)
	maps.DeleteFunc(p.passed, func(sequence uint64, _ bool) bool { return sequence > last })
	p.unsaved = 0
	for n := p.flight.first; n < p.flight.end(); n++ {
		if it := p.flight.at(n); !it.done && it.sequence > last {
			it.sequence = 0
			if it.line != nil {
				it.line.unsafe++
			}
		}
	}
}

// write writes a batch and reports whether all of it is on disk.
func (p *Pipeline) write(ctx context.Context, w writing) bool {
	log := p.disk.log
	before := log.Last()
	err := log.Append(ctx, w.msgs, w.after)
	n := int(log.Last() - before)
	p.disk.used = time.Now()
	p.mu.Lock()
	p.written(w, n)
	p.bytes = log.Bytes()
	p.mu.Unlock()
	if err == nil {
		p.usable()
	} else {
		p.disk.broken = !errors.Is(err, spool.ErrFull)
		p.disk.pending = writing{msgs: w.msgs[n:], tags: w.tags[min(n, len(w.tags)):]}
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
		case len(w.tags) > 0:
			p.pass() // the publisher has it
			p.savedInFlight(w.tags[n])
		case p.backlog.len() > 0 && p.backlog.front().msg == w.msgs[n]:
			p.dropBacklog().line.saved()
		default: // it seemed not to be written, and went to the publisher
			p.pass()
			for tag := p.flight.first; tag < p.flight.end(); tag++ {
				if p.flight.at(tag).msg == w.msgs[n] {
					p.savedInFlight(tag)
				}
			}
		}
	}
	p.notify()
}

// savedInFlight notes that the message of a tag is the newest record. The caller
// holds p.mu.
func (p *Pipeline) savedInFlight(tag uint64) {
	if tag < p.flight.first || p.flight.at(tag).done || p.flight.at(tag).sequence > 0 {
		return
	}
	p.flight.at(tag).sequence = p.last
	p.flight.at(tag).line.saved()
}

// pass has the newest record not be read. The caller holds p.mu.
func (p *Pipeline) pass() {
	if p.next == p.last {
		p.next++
		return
	}
	p.passed[p.last] = true
}

// waits reports whether new messages wait for what another process has left. If
// that cannot be read, they do not for long.
func (d *disk) waits() bool { return !d.begun && d.tries < patience }

// failed notes that the disk cannot be used for now.
func (p *Pipeline) failed(err error) {
	d := &p.disk
	d.retry = time.Now().Add(retryAfter)
	p.mu.Lock()
	known := p.spoolErr != nil
	p.spoolErr = err
	p.mu.Unlock()
	if !known {
		p.opt.Log.Error().Str("code", "spool.failed").Err(err).Msg("the spool cannot be used; received events are held in memory, and at its bound Zoom has to wait")
	}
}

// usable notes that the disk can be used.
func (p *Pipeline) usable() {
	p.mu.Lock()
	known := p.spoolErr != nil
	p.spoolErr = nil
	p.mu.Unlock()
	if known {
		p.opt.Log.Info().Str("code", "spool.usable").Str("dir", p.opt.SpoolDir).Msg("the spool can be used again")
	}
}

// heal tries a disk that has failed again when there is nothing to be written, and
// opens it when something in it can be removed.
func (p *Pipeline) heal(ctx context.Context) {
	d := &p.disk
	p.mu.Lock()
	failed, empty := p.spoolErr != nil, p.removed == p.last
	p.mu.Unlock()
	if d.log == nil && !empty {
		p.openSpool(ctx)
	}
	if !failed || time.Now().Before(d.retry) || d.folder == nil {
		return
	}
	if err := d.folder.Probe(); err != nil {
		p.failed(err)
		return
	}
	p.usable()
}

// rest closes a spool that has been empty for long, or has failed.
func (p *Pipeline) rest() {
	d := &p.disk
	p.mu.Lock()
	empty := p.removed == p.last
	p.mu.Unlock()
	if d.log != nil && (d.broken || empty && time.Since(d.used) > restAfter) && time.Now().After(d.retry) {
		p.closeSpool()
	}
}

func (p *Pipeline) closeSpool() {
	if p.disk.log == nil {
		return
	}
	if err := p.disk.log.Close(); err != nil {
		p.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool is not closed properly")
	}
	p.disk.log, p.disk.broken = nil, false
}
