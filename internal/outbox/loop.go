package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox/spool"
	"github.com/zoomstream/zoomstream/publisher"
)

const (
	// batch is how many messages, and batchBytes about how many bytes, are written to
	// disk at once. readBatch is how many messages are read at once.
	batch      = 256
	batchBytes = 4 << 20
	readBatch  = 512
	// readBelow is the number of messages at the publisher up to which more are read.
	readBelow = 2048
	// Records are removed once removeBatch of their messages are stored in the stream,
	// or once removePeriod has passed since the last removal.
	removeBatch  = 4096
	removePeriod = 250 * time.Millisecond
)

// errStalled means that acknowledgements are overdue.
var errStalled = fmt.Errorf("NATS has not acknowledged a message for over %s", stallAfter)

// loop moves messages from memory to disk, and from there to the publisher. Only loop
// uses the disk.
func (o *Outbox) loop(ctx context.Context) {
	tick := time.NewTicker(checkPeriod)
	defer tick.Stop()
	known := sync.OnceFunc(func() { close(o.known) })
	for {
		if o.opt.Tick != nil {
			o.opt.Tick()
		}
		more := o.step(ctx)
		if o.disk.leftover != leftoverUnknown {
			known()
		}
		if more {
			continue
		}
		var room <-chan struct{}
		if !o.isDirect() {
			room = o.pub.Room()
		}
		select {
		case <-ctx.Done():
			o.disk.removed = time.Time{}
			o.removeStored(context.WithoutCancel(ctx)) // so that the next run need not look it up
			return
		case <-o.wake:
		case <-room:
		case <-tick.C:
		}
	}
}

// step does what is due and reports whether there is more to do at once.
func (o *Outbox) step(ctx context.Context) (more bool) {
	if ctx.Err() != nil {
		return false
	}
	trouble := o.checkTrouble()
	o.findLeftover(ctx)
	if o.isDirect() {
		o.checkDisk(ctx)
		o.removeStored(ctx)
		o.closeIdle()
		return false
	}
	moved := false
	if o.open(ctx) && trouble != nil {
		moved = o.saveUnacked(ctx)
	}
	moved = o.sendRecords(ctx) || moved
	if trouble == nil || o.disk.writer() == nil {
		moved = o.sendWaiting() || moved
	}
	moved = o.saveWaiting(ctx, trouble) || moved
	o.removeStored(ctx)
	return !o.resume(trouble) && moved
}

// checkTrouble returns what is wrong with publishing, or nil. If something is, it begins
// spooling.
func (o *Outbox) checkTrouble() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	trouble := o.trouble
	o.unacked(func(e *entry) bool {
		if trouble == nil && time.Since(e.offered) > stallAfter {
			trouble = errStalled
		}
		return false // only the oldest one matters
	})
	if trouble != nil && o.direct {
		o.direct, o.since = false, time.Now()
		o.notify()
		if o.opt.SpoolDir != "" && o.spoolErr == nil {
			o.opt.Log.Warn().Str("code", "spool.begun").AnErr("reason", trouble).Str("dir", o.opt.SpoolDir).Msg("received events are written to the spool from now on")
		}
	}
	return trouble
}

// resume ends spooling once nothing waits any more, and reports whether it did.
func (o *Outbox) resume(trouble error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if trouble != nil || o.records.unread() || o.waiting.len() > 0 || o.disk.leftover == leftoverUnknown {
		return false
	}
	after := time.Since(o.since).Round(time.Millisecond)
	o.direct, o.since = true, time.Now()
	o.notify()
	o.opt.Log.Info().Str("code", "spool.ended").Stringer("after", after).Msg("events go straight to NATS again; everything in the spool has been published")
	return true
}

func (o *Outbox) isDirect() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.direct
}

// saveUnacked copies to disk what the publisher may be unable to deliver. It reports
// whether a batch was written.
func (o *Outbox) saveUnacked(ctx context.Context) bool {
	o.mu.Lock()
	var w diskBatch
	o.unacked(func(e *entry) bool {
		if e.record == 0 {
			w.add(e)
		}
		return w.fits()
	})
	o.mu.Unlock()
	return o.writeBatch(ctx, w)
}

// saveWaiting writes to disk what cannot go to the publisher yet. In trouble, the
// publisher's messages are written first. It reports whether a batch was written.
func (o *Outbox) saveWaiting(ctx context.Context, trouble error) bool {
	o.mu.Lock()
	var w diskBatch
	if trouble == nil && o.records.unread() || trouble != nil && o.unackedIsSaved() {
		for _, e := range o.waiting.all() {
			if !w.fits() {
				break
			}
			w.add(e)
		}
	}
	o.mu.Unlock()
	return o.writeBatch(ctx, w)
}

// unackedIsSaved reports whether all of the publisher's messages are on disk. The caller
// holds o.mu.
func (o *Outbox) unackedIsSaved() bool {
	saved := true
	o.unacked(func(e *entry) bool {
		saved = e.record > 0
		return saved
	})
	return saved
}

// sendRecords passes records on disk to the publisher, and reports whether it made progress.
func (o *Outbox) sendRecords(ctx context.Context) bool {
	log := o.disk.reader()
	o.mu.Lock()
	next, last, unread := o.records.next, o.records.last, o.records.unread()
	o.mu.Unlock()
	if log == nil || !unread {
		o.disk.ahead = nil
		return false
	}
	if len(o.disk.ahead) == 0 || o.disk.ahead[0].Sequence != next {
		if st := o.pub.Stats(); st.Pending > readBelow || st.Err != nil && st.Pending > 0 {
			return false
		}
		read, err := log.Read(ctx, next, readBatch)
		switch {
		case errors.Is(err, spool.ErrDamaged):
			o.skipDamaged(last + 1)
			return true
		case err != nil:
			o.noteDiskFailed(err)
			o.closeSpool()
			return false
		}
		o.disk.ahead = read
		o.skipDamaged(read[0].Sequence)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	loaded := 0
	for _, r := range o.disk.ahead {
		if r.Sequence != o.records.next || !o.sendRecord(r) { // a hole in the numbers is damage, which the next step reports
			break
		}
		o.records.next++
		loaded++
	}
	o.disk.ahead = o.disk.ahead[loaded:]
	return loaded > 0
}

// sendRecord passes a record to the publisher, and reports whether there was room. The
// caller holds o.mu.
func (o *Outbox) sendRecord(r spool.Record) bool {
	e := &entry{msg: r.Msg, size: publisher.Size(r.Msg), accepted: r.At, after: r.After, record: r.Sequence}
	var sent time.Time
	if r.Sequence <= o.records.doubtful {
		sent = r.At
	}
	switch {
	case r.Sequence <= o.disk.inherited:
		o.opt.Replayed(r.Msg)
	case o.records.copies.has(r.Sequence): // its Line learns from the original, which may have been stored long ago
		sent = time.Unix(1, 0)
	default:
		e.line = o.lineOf(r.Msg)
	}
	return o.offer(e, sent)
}

// skipDamaged skips damaged records: the next one to read is to.
func (o *Outbox) skipDamaged(to uint64) {
	o.mu.Lock()
	lost := to - o.records.next
	o.records.next = to
	o.mu.Unlock()
	if lost > 0 {
		o.reportDamage(fmt.Sprintf("%d events", lost))
	}
}

// sendWaiting passes what waits in memory to the publisher if nothing on disk comes first.
func (o *Outbox) sendWaiting() (moved bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.disk.leftover == leftoverUnknown || o.records.unread() {
		return false
	}
	for o.waiting.len() > 0 && o.offer(o.waiting.front(), time.Time{}) {
		o.dequeue()
		moved = true
	}
	if moved {
		o.notify()
	}
	return moved
}

// removeStored removes from disk what is stored in the stream.
func (o *Outbox) removeStored(ctx context.Context) {
	log := o.disk.reader()
	if log == nil {
		return
	}
	o.mu.Lock()
	through, last := o.storedThrough(), o.records.last
	count := int(through - o.records.removed)
	o.mu.Unlock()
	if count <= 0 || count < removeBatch && time.Since(o.disk.removed) < removePeriod {
		return
	}
	o.disk.removed = time.Now()
	var err error
	switch {
	case o.disk.state == diskOpen: // also if it is full
		if err = log.Remove(ctx, through); err != nil {
			o.disk.state = diskReadOnly
		}
	case through == last: // it accepts no writes, but nothing in it is needed any more
		err = log.Discard()
		o.disk.close()
	default:
		return
	}
	if err != nil {
		o.noteDiskFailed(err)
		return
	}
	o.mu.Lock()
	o.records.removed, o.records.bytes = through, 0
	if log := o.disk.reader(); log != nil {
		o.records.bytes = log.Bytes()
	}
	full := errors.Is(o.spoolErr, spool.ErrFull)
	o.mu.Unlock()
	if full {
		o.disk.retry = time.Time{}
		o.noteDiskUsable()
	}
}

// storedThrough is the last record up to which everything on disk is stored in the stream
// or otherwise done with. The caller holds o.mu.
func (o *Outbox) storedThrough() uint64 {
	through := o.records.next - 1
	o.unacked(func(e *entry) bool {
		if e.record > 0 {
			through = min(through, e.record-1)
		}
		return true
	})
	return through
}
