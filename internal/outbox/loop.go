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
	// batch is how many messages are written to disk at once, and batchBytes about
	// how much; readBatch is how many are read.
	batch      = 256
	batchBytes = 4 << 20
	readBatch  = 512
	// readBelow is with how many messages at the publisher more is read for it.
	readBelow = 2048
	// removeBatch messages on disk are stored in the stream before they are
	// removed, if that does not last longer than removePeriod.
	removeBatch  = 4096
	removePeriod = 250 * time.Millisecond
)

// errStalled says that acknowledgements stay away.
var errStalled = fmt.Errorf("NATS has not acknowledged a message for over %s", stallAfter)

// loop takes messages from memory to the disk, and from there to the publisher. It
// alone uses the disk.
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
			o.removeStored(context.WithoutCancel(ctx)) // the next run need not look it up
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

// checkTrouble tells what is wrong with publishing, and closes the direct way if
// something is.
func (o *Outbox) checkTrouble() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	trouble := o.trouble
	o.unacked(func(e *entry) bool {
		if trouble == nil && time.Since(e.offered) > stallAfter {
			trouble = errStalled
		}
		return false // the oldest one tells
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

// resume opens the direct way once nothing waits any more.
func (o *Outbox) resume(trouble error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if trouble != nil || o.records.unread() || o.waiting.len() > 0 || o.disk.leftover == leftoverUnknown {
		return false
	}
	after := time.Since(o.since).Round(time.Millisecond)
	o.direct, o.since = true, time.Now()
	o.notify()
	o.opt.Log.Info().Str("code", "spool.ended").Stringer("after", after).Msg("events go straight to NATS again; what the spool held is published")
	return true
}

func (o *Outbox) isDirect() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.direct
}

// saveUnacked copies to disk what the publisher has and may not get rid of.
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

// saveWaiting writes to disk what cannot go to the publisher. In trouble, what the
// publisher has comes first.
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

// unackedIsSaved reports whether all that the publisher has is on disk. The caller
// holds o.mu.
func (o *Outbox) unackedIsSaved() bool {
	saved := true
	o.unacked(func(e *entry) bool {
		saved = e.record > 0
		return saved
	})
	return saved
}

// sendRecords hands what is on disk to the publisher.
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
		if r.Sequence != o.records.next || !o.sendRecord(r) { // a hole in the numbers is damage, of which the next step tells
			break
		}
		o.records.next++
		loaded++
	}
	o.disk.ahead = o.disk.ahead[loaded:]
	return loaded > 0
}

// sendRecord hands a record to the publisher if there is room. The caller holds o.mu.
func (o *Outbox) sendRecord(r spool.Record) bool {
	e := &entry{msg: r.Msg, size: publisher.Size(r.Msg), accepted: r.At, after: r.After, record: r.Sequence}
	var sent time.Time
	if r.Sequence <= o.records.doubtful {
		sent = r.At
	}
	switch {
	case r.Sequence <= o.disk.inherited:
		o.opt.Replayed(r.Msg)
	case o.records.copies.has(r.Sequence): // its Line hears of it by the original, which may be stored long since
		sent = time.Unix(1, 0)
	default:
		e.line = o.lineOf(r.Msg)
	}
	return o.offer(e, sent)
}

// skipDamaged goes on at a record, without those before it, which are damaged.
func (o *Outbox) skipDamaged(to uint64) {
	o.mu.Lock()
	lost := to - o.records.next
	o.records.next = to
	o.mu.Unlock()
	if lost > 0 {
		o.reportDamage(fmt.Sprintf("%d events", lost))
	}
}

// sendWaiting hands what waits in memory to the publisher when nothing on disk comes before.
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
	case through == last: // it takes no orders, but nothing in it is needed any more
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

// storedThrough is up to where everything on disk is stored in the stream, or else done
// with. The caller holds o.mu.
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
