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
	// enough messages at the publisher, nothing more is read for it.
	enough = 2048
	// removeBatch messages on disk are stored in the stream before they are
	// removed, if that does not last longer than removePeriod.
	removeBatch  = 4096
	removePeriod = 250 * time.Millisecond
)

// errStalled says that acknowledgements stay away.
var errStalled = fmt.Errorf("NATS has not acknowledged a message for over %s", stallAfter)

// loop takes messages from memory to the disk, and from there to the publisher. It
// alone uses the disk.
func (p *Outbox) loop(ctx context.Context) {
	tick := time.NewTicker(checkPeriod)
	defer tick.Stop()
	known := sync.OnceFunc(func() { close(p.known) })
	for {
		if p.opt.Tick != nil {
			p.opt.Tick()
		}
		more := p.step(ctx)
		if p.disk.leftOver != leftUnknown {
			known()
		}
		if more {
			continue
		}
		var room <-chan struct{}
		if !p.isDirect() {
			room = p.pub.Room()
		}
		select {
		case <-ctx.Done():
			p.disk.removed = time.Time{}
			p.remove(context.WithoutCancel(ctx)) // the next run need not look it up
			return
		case <-p.wake:
		case <-room:
		case <-tick.C:
		}
	}
}

// step does what is due and reports whether there is more to do at once.
func (p *Outbox) step(ctx context.Context) (more bool) {
	if ctx.Err() != nil {
		return false
	}
	trouble := p.checkTrouble()
	p.findLeftOver(ctx)
	if p.isDirect() {
		p.checkDisk(ctx)
		p.remove(ctx)
		p.closeIdle()
		return false
	}
	moved := false
	if p.open(ctx) && trouble != nil {
		moved = p.saveUnacked(ctx)
	}
	moved = p.load(ctx) || moved
	if trouble == nil || p.disk.writer() == nil {
		moved = p.feed() || moved
	}
	moved = p.saveWaiting(ctx, trouble) || moved
	p.remove(ctx)
	return !p.resume(trouble) && moved
}

// checkTrouble tells what is wrong with publishing, and closes the direct way if
// something is.
func (p *Outbox) checkTrouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	trouble := p.trouble
	p.unacked(func(e *entry) bool {
		if trouble == nil && time.Since(e.offered) > stallAfter {
			trouble = errStalled
		}
		return false // the oldest one tells
	})
	if trouble != nil && p.direct {
		p.direct, p.since = false, time.Now()
		p.notify()
		if p.opt.SpoolDir != "" && p.spoolErr == nil {
			p.opt.Log.Warn().Str("code", "spool.begun").AnErr("reason", trouble).Str("dir", p.opt.SpoolDir).Msg("received events are written to the spool from now on")
		}
	}
	return trouble
}

// resume opens the direct way once nothing waits any more.
func (p *Outbox) resume(trouble error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if trouble != nil || p.records.unread() || p.waiting.len() > 0 || p.disk.leftOver == leftUnknown {
		return false
	}
	after := time.Since(p.since).Round(time.Millisecond)
	p.direct, p.since = true, time.Now()
	p.notify()
	p.opt.Log.Info().Str("code", "spool.ended").Stringer("after", after).Msg("events go straight to NATS again; what the spool held is published")
	return true
}

func (p *Outbox) isDirect() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.direct
}

// saveUnacked copies to disk what the publisher has and may not get rid of.
func (p *Outbox) saveUnacked(ctx context.Context) bool {
	p.mu.Lock()
	var w writing
	p.unacked(func(e *entry) bool {
		if e.record == 0 {
			w.add(e)
		}
		return w.fits()
	})
	p.mu.Unlock()
	return p.write(ctx, w)
}

// saveWaiting writes to disk what cannot go to the publisher. In trouble, what the
// publisher has comes first.
func (p *Outbox) saveWaiting(ctx context.Context, trouble error) bool {
	p.mu.Lock()
	var w writing
	if trouble == nil && p.records.unread() || trouble != nil && p.unackedIsSaved() {
		for _, e := range p.waiting.all() {
			if !w.fits() {
				break
			}
			w.add(e)
		}
	}
	p.mu.Unlock()
	return p.write(ctx, w)
}

// unackedIsSaved reports whether all that the publisher has is on disk. The caller
// holds p.mu.
func (p *Outbox) unackedIsSaved() bool {
	saved := true
	p.unacked(func(e *entry) bool {
		saved = e.record > 0
		return saved
	})
	return saved
}

// load hands what is on disk to the publisher.
func (p *Outbox) load(ctx context.Context) bool {
	log := p.disk.reader()
	p.mu.Lock()
	next, last, unread := p.records.next, p.records.last, p.records.unread()
	p.mu.Unlock()
	if log == nil || !unread {
		p.disk.ahead = nil
		return false
	}
	if len(p.disk.ahead) == 0 || p.disk.ahead[0].Sequence != next {
		if st := p.pub.Stats(); st.Pending > enough || st.Err != nil && st.Pending > 0 {
			return false
		}
		read, err := log.Read(ctx, next, readBatch)
		switch {
		case errors.Is(err, spool.ErrDamaged):
			p.skip(last + 1)
			return true
		case err != nil:
			p.failed(err)
			p.closeSpool()
			return false
		}
		p.disk.ahead = read
		p.skip(read[0].Sequence)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	loaded := 0
	for _, r := range p.disk.ahead {
		if r.Sequence != p.records.next || !p.offerRecord(r) { // a hole in the numbers is damage, of which the next step tells
			break
		}
		p.records.next++
		loaded++
	}
	p.disk.ahead = p.disk.ahead[loaded:]
	return loaded > 0
}

// offerRecord hands a record to the publisher if there is room. The caller holds p.mu.
func (p *Outbox) offerRecord(r spool.Record) bool {
	e := &entry{msg: r.Msg, size: publisher.Size(r.Msg), accepted: r.At, after: r.After, record: r.Sequence}
	var sent time.Time
	if r.Sequence <= p.records.doubtful {
		sent = r.At
	}
	switch {
	case r.Sequence <= p.disk.inherited:
		p.opt.Replayed(r.Msg)
	case p.records.copies.has(r.Sequence): // its Line hears of it by the original, which may be stored long since
		sent = time.Unix(1, 0)
	default:
		e.line = p.lineOf(r.Msg)
	}
	return p.offer(e, sent)
}

// skip goes on at a record, without those before it, which are damaged.
func (p *Outbox) skip(to uint64) {
	p.mu.Lock()
	lost := to - p.records.next
	p.records.next = to
	p.mu.Unlock()
	if lost > 0 {
		p.damaged(fmt.Sprintf("%d events", lost))
	}
}

// feed hands what waits in memory to the publisher when nothing on disk comes before.
func (p *Outbox) feed() (moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disk.leftOver == leftUnknown || p.records.unread() {
		return false
	}
	for p.waiting.len() > 0 && p.offer(p.waiting.front(), time.Time{}) {
		p.endWait()
		moved = true
	}
	if moved {
		p.notify()
	}
	return moved
}

// remove removes from disk what is stored in the stream.
func (p *Outbox) remove(ctx context.Context) {
	log := p.disk.reader()
	if log == nil {
		return
	}
	p.mu.Lock()
	through, last := p.removable(), p.records.last
	count := int(through - p.records.removed)
	p.mu.Unlock()
	if count <= 0 || count < removeBatch && time.Since(p.disk.removed) < removePeriod {
		return
	}
	p.disk.removed = time.Now()
	var err error
	switch {
	case p.disk.state == diskOpen: // also if it is full
		if err = log.Remove(ctx, through); err != nil {
			p.disk.state = diskReadOnly
		}
	case through == last: // it takes no orders, but nothing in it is needed any more
		err = log.Discard()
		p.disk.close()
	default:
		return
	}
	if err != nil {
		p.failed(err)
		return
	}
	p.mu.Lock()
	p.records.removed, p.records.bytes = through, 0
	if log := p.disk.reader(); log != nil {
		p.records.bytes = log.Bytes()
	}
	full := errors.Is(p.spoolErr, spool.ErrFull)
	p.mu.Unlock()
	if full {
		p.disk.retry = time.Time{}
		p.usable()
	}
}

// removable is up to where everything on disk is stored in the stream, or else done
// with. The caller holds p.mu.
func (p *Outbox) removable() uint64 {
	through := p.records.next - 1
	p.unacked(func(e *entry) bool {
		if e.record > 0 {
			through = min(through, e.record-1)
		}
		return true
	})
	return through
}
