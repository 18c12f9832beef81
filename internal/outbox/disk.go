package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/outbox/spool"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// retryAfter is the pause before a disk that has failed is tried again.
	retryAfter = 2 * time.Second
	// openAttempts is how often opening a leftover spool is tried before new messages go
	// first.
	openAttempts = 3
	// idleAfter is how long an empty spool is kept open.
	idleAfter = 5 * time.Second
)

// diskState is what can be done with the spool.
//
//	         open                  a write or removal fails
//	closed --------> open -------------------------------------> read-only
//	   ^               | a read fails, or it is empty for long        | the disk accepts files again,
//	   +---------------+----------------------------------------------+ or nothing in it is needed
type diskState int

const (
	diskClosed diskState = iota
	diskOpen
	diskReadOnly // it can still be read, but perhaps not be opened again
)

// leftover is whether it is known what an earlier process left in the spool.
type leftover int

const (
	leftoverUnknown leftover = iota // new messages wait: the leftover ones come first
	leftoverGivenUp                 // the spool could not be opened for a while; new messages go first
	leftoverKnown
)

// disk is the loop's view of the spool.
type disk struct {
	folder *spool.Folder // nil: not locked
	log    *spool.Log    // use it only through reader and writer
	state  diskState
	retry  time.Time // earliest time of the next attempt

	leftover  leftover
	tries     int    // failed attempts to open the spool
	inherited uint64 // records up to here are from another process

	uncertain []*entry       // entries that the last write, which failed, may still have written
	ahead     []spool.Record // records read and not yet passed on
	removed   time.Time      // when records were last removed
	used      time.Time      // when the spool was last opened or written
}

// reader is the spool if it can be read, or nil. Do not keep it: ask each time.
func (d *disk) reader() *spool.Log {
	if d.state == diskClosed {
		return nil
	}
	return d.log
}

// writer is the spool if it can be written now, or nil. Do not keep it: ask each time.
func (d *disk) writer() *spool.Log {
	if d.state != diskOpen || time.Now().Before(d.retry) {
		return nil
	}
	return d.log
}

func (d *disk) close() { d.log, d.state, d.ahead = nil, diskClosed, nil }

// lockSpool locks the folder, and reports whether it could.
func (o *Outbox) lockSpool() bool {
	folder, err := spool.Lock(o.opt.SpoolDir)
	if err != nil {
		o.noteDiskFailed(err)
		return false
	}
	folder.Around = o.opt.AroundDisk
	o.disk.folder = folder
	o.noteDiskUsable()
	return true
}

func (o *Outbox) unlockSpool() {
	o.closeSpool()
	if o.disk.folder == nil {
		return
	}
	if err := o.disk.folder.Unlock(); err != nil {
		o.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool folder could not be unlocked")
	}
}

// open opens the spool if it is not open, and reports whether it can be written.
func (o *Outbox) open(ctx context.Context) bool {
	d := &o.disk
	switch {
	case o.opt.SpoolDir == "" || time.Now().Before(d.retry):
		return false
	case d.state == diskOpen:
		return true
	case d.state == diskReadOnly:
		if err := d.folder.Probe(); err != nil {
			o.noteDiskFailed(err)
			return false
		}
		o.closeSpool()
	}
	if d.folder == nil && !o.lockSpool() {
		return false
	}
	log, err := d.folder.Open(ctx, o.opt.SpoolMax, o.opt.Log)
	if err != nil {
		if d.tries++; d.tries >= openAttempts && d.leftover == leftoverUnknown {
			d.leftover = leftoverGivenUp
		}
		o.noteDiskFailed(err)
		return false
	}
	d.log, d.state, d.used = log, diskOpen, time.Now()
	if d.leftover != leftoverKnown {
		o.adoptLeftover(ctx, log)
	} else {
		o.resumeReopened(log)
	}
	return true
}

// findLeftover finds out whether another process left something in the spool, if that is
// not known yet.
func (o *Outbox) findLeftover(ctx context.Context) {
	d := &o.disk
	if d.leftover == leftoverKnown || time.Now().Before(d.retry) || d.folder == nil && !o.lockSpool() {
		return
	}
	if !d.folder.Used() {
		d.leftover = leftoverKnown
		return
	}
	o.open(ctx)
}

// adoptLeftover takes over what another process left in the spool, to be published first.
func (o *Outbox) adoptLeftover(ctx context.Context, log *spool.Log) {
	o.disk.leftover = leftoverKnown
	newest, err := log.Newest(ctx)
	if err != nil {
		o.opt.Log.Warn().Str("code", "spool.unread").Err(err).Msg("it is not known when the last events in the spool were received")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.newest = newest
	if lost := log.Lost(); lost > 0 {
		o.reportDamage(fmt.Sprintf("about %d bytes", lost))
	}
	o.disk.inherited = log.Last()
	o.records = records{removed: log.First() - 1, next: log.First(), last: log.Last(), doubtful: log.Last(), bytes: log.Bytes()}
	if !o.records.unread() {
		return
	}
	if o.direct {
		o.direct, o.since = false, time.Now()
	}
	o.opt.Log.Info().Str("code", "spool.replay").Uint64("events", o.records.last+1-o.records.next).Str("dir", o.opt.SpoolDir).Msg("publishing what an earlier run left in the spool")
}

// Leftover returns the headers of the last message of a subscription that an earlier
// process left in the spool, or nil if there is none. It waits until that is known, and
// returns nil if the context ends first.
func (o *Outbox) Leftover(ctx context.Context, subscription string) nats.Header {
	select {
	case <-o.known:
	case <-ctx.Done():
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, header := range o.newest {
		if header.Get(message.HeaderSubscription) == subscription {
			return header
		}
	}
	return nil
}

// resumeReopened adapts to a spool that was opened again: what it contains counts.
func (o *Outbox) resumeReopened(log *spool.Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &o.records
	last := log.Last()
	r.bytes = log.Bytes()
	if last < r.last {
		if lost := int64(r.last) - int64(max(last+1, r.next)) + 1; lost > 0 {
			o.reportDamage(fmt.Sprintf("%d events", lost))
		}
		o.forgetAfter(last)
	}
	if more := int(last - r.last); more > 0 {
		o.noteSaved(o.disk.uncertain[:min(more, len(o.disk.uncertain))])
		r.last, r.doubtful = last, last
	}
	o.disk.uncertain = nil
}

// forgetAfter forgets the records after last, which are gone: their numbers are assigned
// again. The caller holds o.mu.
func (o *Outbox) forgetAfter(last uint64) {
	r := &o.records
	r.removed, r.next, r.last, r.doubtful = min(r.removed, last), min(r.next, last+1), last, min(r.doubtful, last)
	r.copies.through = min(r.copies.through, last)
	o.disk.inherited = min(o.disk.inherited, last)
	o.unacked(func(e *entry) bool {
		if e.record > last {
			e.record = 0
			if e.line != nil {
				e.line.unsafe++
			}
		}
		return true
	})
}

// diskBatch is a batch to be written to disk.
type diskBatch struct {
	entries []*entry
	bytes   int
}

func (w *diskBatch) fits() bool { return len(w.entries) < batch && w.bytes < batchBytes }

func (w *diskBatch) add(e *entry) {
	w.entries = append(w.entries, e)
	w.bytes += e.size
}

// writeBatch writes a batch if the disk can be written. It reports whether all of the batch
// is on disk; an empty batch is not.
func (o *Outbox) writeBatch(ctx context.Context, w diskBatch) bool {
	log := o.disk.writer()
	if log == nil || len(w.entries) == 0 {
		return false
	}
	msgs := make([]*nats.Msg, len(w.entries))
	for i, e := range w.entries {
		msgs[i] = e.msg
	}
	before := log.Last()
	err := log.Append(ctx, msgs, w.entries[0].after) // the oldest one's is low enough for all
	n := int(log.Last() - before)
	o.disk.used = time.Now()
	o.mu.Lock()
	o.noteSaved(w.entries[:n])
	o.records.bytes = log.Bytes()
	o.mu.Unlock()
	if err == nil {
		o.noteDiskUsable()
		return true
	}
	if !errors.Is(err, spool.ErrFull) {
		o.disk.state, o.disk.uncertain = diskReadOnly, w.entries[n:]
	}
	o.noteDiskFailed(err)
	return false
}

// noteSaved records that entries were written to disk as the newest records. The caller
// holds o.mu.
func (o *Outbox) noteSaved(entries []*entry) {
	r := &o.records
	for _, e := range entries {
		r.last++
		if o.waiting.len() > 0 && o.waiting.front() == e {
			o.dequeue() // it keeps waiting on disk
			e.line.noteSaved()
			continue
		}
		// The publisher has or had it, so it need not be read. Usually nothing else is unread
		// then. But what another process left may have been found late, and is read first.
		// Then this message is published again, and its id settles that.
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
			e.line.noteSaved()
		}
	}
	o.notify()
}

// reportDamage logs and reports that something on disk is lost.
func (o *Outbox) reportDamage(what string) {
	what += " in the spool are damaged, and lost"
	o.opt.Log.Error().Str("code", "spool.damaged").Str("dir", o.opt.SpoolDir).Msg(what)
	o.opt.Damaged(what)
}

// noteDiskFailed records that the disk cannot be used for retryAfter.
func (o *Outbox) noteDiskFailed(err error) {
	o.disk.retry = time.Now().Add(retryAfter)
	o.mu.Lock()
	known := o.spoolErr != nil
	o.spoolErr = err
	o.mu.Unlock()
	if !known {
		o.opt.Log.Error().Str("code", "spool.failed").Err(err).Msg("the spool cannot be used; received events are held in memory; once that is full, Zoom has to wait")
	}
}

// noteDiskUsable records that the disk can be used.
func (o *Outbox) noteDiskUsable() {
	o.mu.Lock()
	known := o.spoolErr != nil
	o.spoolErr = nil
	o.mu.Unlock()
	if known {
		o.opt.Log.Info().Str("code", "spool.usable").Str("dir", o.opt.SpoolDir).Msg("the spool can be used again")
	}
}

// checkDisk retries a failed disk when there is nothing to be written, and opens a spool
// that still has records, so that they can be removed.
func (o *Outbox) checkDisk(ctx context.Context) {
	d := &o.disk
	o.mu.Lock()
	failed, empty := o.spoolErr != nil, o.records.removed == o.records.last
	o.mu.Unlock()
	if d.state == diskClosed && !empty {
		o.open(ctx)
	}
	if !failed || time.Now().Before(d.retry) || d.folder == nil {
		return
	}
	if err := d.folder.Probe(); err != nil {
		o.noteDiskFailed(err)
		return
	}
	o.noteDiskUsable()
}

// closeIdle closes a spool that has been empty for idleAfter, or has failed.
func (o *Outbox) closeIdle() {
	d := &o.disk
	o.mu.Lock()
	empty := o.records.removed == o.records.last
	o.mu.Unlock()
	if (d.state == diskReadOnly || d.state == diskOpen && empty && time.Since(d.used) > idleAfter) && time.Now().After(d.retry) {
		o.closeSpool()
	}
}

func (o *Outbox) closeSpool() {
	log := o.disk.reader()
	if log == nil {
		return
	}
	o.disk.close()
	if err := log.Close(); err != nil {
		o.opt.Log.Warn().Str("code", "spool.folder").Err(err).Msg("the spool was not closed properly")
	}
}
