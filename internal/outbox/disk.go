package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/outbox/spool"
)

const (
	// retryAfter is the pause before a disk that has failed is tried again.
	retryAfter = 2 * time.Second
	// patience is how often a left-over spool is tried until new messages go first.
	patience = 3
	// idleAfter is how long an empty spool is kept open.
	idleAfter = 5 * time.Second
)

// diskState is what can be done with the spool.
//
//	         open                  a write or removal fails
//	closed --------> open -------------------------------------> read-only
//	   ^               | a read fails, or it is empty for long        | the disk takes files again,
//	   +---------------+----------------------------------------------+ or nothing in it is needed
type diskState int

const (
	diskClosed diskState = iota
	diskOpen
	diskReadOnly // it can still be read, but perhaps not be opened again
)

// leftOver is whether it is known what an earlier process has left in the spool.
type leftOver int

const (
	leftUnknown leftOver = iota // new messages wait: those that are left come first
	leftGivenUp                 // it could not be opened for a while; new messages go first
	leftKnown
)

// disk is what the loop knows of the spool.
type disk struct {
	folder *spool.Folder // nil: not locked
	log    *spool.Log    // only for reader and writer
	state  diskState
	retry  time.Time // not to be tried before

	leftOver  leftOver
	tries     int    // to find that out
	inherited uint64 // records up to here are of another process

	unsure  []*entry       // that the last write may have written all the same
	ahead   []spool.Record // that were read
	removed time.Time      // when records were last removed
	used    time.Time
}

// reader is the spool if it can be read, or nil. Nobody keeps it.
func (d *disk) reader() *spool.Log {
	if d.state == diskClosed {
		return nil
	}
	return d.log
}

// writer is the spool if it can be written now, or nil. Nobody keeps it.
func (d *disk) writer() *spool.Log {
	if d.state != diskOpen || time.Now().Before(d.retry) {
		return nil
	}
	return d.log
}

func (d *disk) close() { d.log, d.state, d.ahead = nil, diskClosed, nil }

// lockSpool locks the folder, or tells that there is no spool.
func (p *Outbox) lockSpool() bool {
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

func (p *Outbox) unlockSpool() {
	p.closeSpool()
	if p.disk.folder == nil {
		return
	}
	if err := p.disk.folder.Unlock(); err != nil {
		p.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool folder is not unlocked")
	}
}

// open opens the spool if it is not open, and reports whether it can be written.
func (p *Outbox) open(ctx context.Context) bool {
	d := &p.disk
	switch {
	case p.opt.SpoolDir == "" || time.Now().Before(d.retry):
		return false
	case d.state == diskOpen:
		return true
	case d.state == diskReadOnly:
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
		if d.tries++; d.tries >= patience && d.leftOver == leftUnknown {
			d.leftOver = leftGivenUp
		}
		p.failed(err)
		return false
	}
	d.log, d.state, d.used = log, diskOpen, time.Now()
	if d.leftOver != leftKnown {
		p.takeOver(ctx, log)
	} else {
		p.goOn(log)
	}
	return true
}

// findLeftOver finds out whether another process has left something, if that is not
// known yet.
func (p *Outbox) findLeftOver(ctx context.Context) {
	d := &p.disk
	if d.leftOver == leftKnown || time.Now().Before(d.retry) || d.folder == nil && !p.lockSpool() {
		return
	}
	if !d.folder.Used() {
		d.leftOver = leftKnown
		return
	}
	p.open(ctx)
}

// takeOver begins with what another process has left.
func (p *Outbox) takeOver(ctx context.Context, log *spool.Log) {
	p.disk.leftOver = leftKnown
	newest, err := log.Newest(ctx)
	if err != nil {
		p.opt.Log.Warn().Str("code", "spool.unread").Err(err).Msg("it is not known when the last events in the spool were received")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = newest
	if lost := log.Lost(); lost > 0 {
		p.damaged(fmt.Sprintf("about %d bytes", lost))
	}
	p.disk.inherited = log.Last()
	p.records = records{removed: log.First() - 1, next: log.First(), last: log.Last(), doubtful: log.Last(), bytes: log.Bytes()}
	if !p.records.unread() {
		return
	}
	if p.direct {
		p.direct, p.since = false, time.Now()
	}
	p.opt.Log.Info().Str("code", "spool.replay").Uint64("events", p.records.last+1-p.records.next).Str("dir", p.opt.SpoolDir).Msg("publishing what an earlier run has left in the spool")
}

// LeftOver returns the headers of the last message of a subscription that an
// earlier process has left in the spool, nil if there is none. It waits until
// that is known.
func (p *Outbox) LeftOver(ctx context.Context, subscription string) nats.Header {
	select {
	case <-p.known:
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

// goOn goes on with a spool that was opened again: what it has counts.
func (p *Outbox) goOn(log *spool.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.records
	last := log.Last()
	r.bytes = log.Bytes()
	if last < r.last {
		if lost := int64(r.last) - int64(max(last+1, r.next)) + 1; lost > 0 {
			p.damaged(fmt.Sprintf("%d events", lost))
		}
		p.forgetBehind(last)
	}
	if more := int(last - r.last); more > 0 {
		p.saved(p.disk.unsure[:min(more, len(p.disk.unsure))])
		r.last, r.doubtful = last, last
	}
	p.disk.unsure = nil
}

// forgetBehind forgets records behind a number, which are gone: numbers are given
// again. The caller holds p.mu.
func (p *Outbox) forgetBehind(last uint64) {
	r := &p.records
	r.removed, r.next, r.last, r.doubtful = min(r.removed, last), min(r.next, last+1), last, min(r.doubtful, last)
	r.copies.through = min(r.copies.through, last)
	p.disk.inherited = min(p.disk.inherited, last)
	p.unacked(func(e *entry) bool {
		if e.record > last {
			e.record = 0
			if e.line != nil {
				e.line.unsafe++
			}
		}
		return true
	})
}

// writing is a batch on its way to disk.
type writing struct {
	entries []*entry
	bytes   int
}

func (w *writing) fits() bool { return len(w.entries) < batch && w.bytes < batchBytes }

func (w *writing) add(e *entry) {
	w.entries = append(w.entries, e)
	w.bytes += e.size
}

// write writes a batch if the disk can be written, and reports whether all of it is
// on disk.
func (p *Outbox) write(ctx context.Context, w writing) bool {
	log := p.disk.writer()
	if log == nil || len(w.entries) == 0 {
		return false
	}
	msgs := make([]*nats.Msg, len(w.entries))
	for i, e := range w.entries {
		msgs[i] = e.msg
	}
	before := log.Last()
	err := log.Append(ctx, msgs, w.entries[0].after) // the oldest one's is right for all
	n := int(log.Last() - before)
	p.disk.used = time.Now()
	p.mu.Lock()
	p.saved(w.entries[:n])
	p.records.bytes = log.Bytes()
	p.mu.Unlock()
	if err == nil {
		p.usable()
		return true
	}
	if !errors.Is(err, spool.ErrFull) {
		p.disk.state, p.disk.unsure = diskReadOnly, w.entries[n:]
	}
	p.failed(err)
	return false
}

// saved notes that messages are the newest records. The caller holds p.mu.
func (p *Outbox) saved(entries []*entry) {
	r := &p.records
	for _, e := range entries {
		r.last++
		if p.waiting.len() > 0 && p.waiting.front() == e {
			p.endWait() // on disk it waits on
			e.line.saved()
			continue
		}
		// The publisher has it, or had it, so it is not to be read. Mostly nothing else is
		// unread then; but what another process has left may have been found late, and is
		// read first. Then this one is published again, which its id settles.
		if r.next == r.last {
			r.next++
		} else {
			r.copies.through = r.last
			if r.copies.from < r.next {
				r.copies.from = r.last
			}
		}
		if !e.stored && e.record == 0 {
			e.record = r.last
			e.line.saved()
		}
	}
	p.notify()
}

// damaged tells that something on disk is lost.
func (p *Outbox) damaged(what string) {
	what += " in the spool are damaged, and lost"
	p.opt.Log.Error().Str("code", "spool.damaged").Str("dir", p.opt.SpoolDir).Msg(what)
	p.opt.Damaged(what)
}

// failed notes that the disk cannot be used for now.
func (p *Outbox) failed(err error) {
	p.disk.retry = time.Now().Add(retryAfter)
	p.mu.Lock()
	known := p.spoolErr != nil
	p.spoolErr = err
	p.mu.Unlock()
	if !known {
		p.opt.Log.Error().Str("code", "spool.failed").Err(err).Msg("the spool cannot be used; received events are held in memory, and at its bound Zoom has to wait")
	}
}

// usable notes that the disk can be used.
func (p *Outbox) usable() {
	p.mu.Lock()
	known := p.spoolErr != nil
	p.spoolErr = nil
	p.mu.Unlock()
	if known {
		p.opt.Log.Info().Str("code", "spool.usable").Str("dir", p.opt.SpoolDir).Msg("the spool can be used again")
	}
}

// checkDisk tries a disk that has failed again when there is nothing to be written,
// and opens it when something in it can be removed.
func (p *Outbox) checkDisk(ctx context.Context) {
	d := &p.disk
	p.mu.Lock()
	failed, empty := p.spoolErr != nil, p.records.removed == p.records.last
	p.mu.Unlock()
	if d.state == diskClosed && !empty {
		p.open(ctx)
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

// closeIdle closes a spool that has been empty for long, or has failed.
func (p *Outbox) closeIdle() {
	d := &p.disk
	p.mu.Lock()
	empty := p.records.removed == p.records.last
	p.mu.Unlock()
	if (d.state == diskReadOnly || d.state == diskOpen && empty && time.Since(d.used) > idleAfter) && time.Now().After(d.retry) {
		p.closeSpool()
	}
}

func (p *Outbox) closeSpool() {
	log := p.disk.reader()
	if log == nil {
		return
	}
	p.disk.close()
	if err := log.Close(); err != nil {
		p.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool is not closed properly")
	}
}
