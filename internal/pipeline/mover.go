package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/spool"
	"github.com/zoomstream/zoomstream/publisher"
)

const (
	// batch is how many messages are written to disk at once, and batchBytes about
	// how much; readBatch is how many are read.
	batch      = 256
	batchBytes = 4 << 20
	readBatch  = 512
	// removeBatch messages on disk are stored in the stream before they are
	// removed, if that does not last longer than removePeriod.
	removeBatch  = 4096
	removePeriod = 250 * time.Millisecond
)

// errStalled says that acknowledgements stay away.
var errStalled = fmt.Errorf("NATS has not acknowledged a message for over %s", stallAfter)

// move takes messages from the backlog to the disk, and from there to the
// publisher. It alone uses the disk.
func (p *Pipeline) move(ctx context.Context) {
	tick := time.NewTicker(checkPeriod)
	defer tick.Stop()
	looked := sync.OnceFunc(func() { close(p.looked) })
	for {
		if p.opt.Tick != nil {
			p.opt.Tick()
		}
		more := p.step(ctx)
		if !p.disk.waits() {
			looked()
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
func (p *Pipeline) step(ctx context.Context) (more bool) {
	if ctx.Err() != nil {
		return false
	}
	trouble := p.look()
	p.tell(trouble)
	p.lookBack(ctx)
	if p.isDirect() {
		p.heal(ctx)
		p.remove(ctx)
		p.rest()
		return false
	}
	disk := p.openSpool(ctx)
	moved := false
	if disk && trouble != nil {
		moved = p.saveFlight(ctx)
	}
	moved = p.load(ctx) || moved
	disk = disk && p.disk.writable() // a write or read that has failed ends that
	if trouble == nil || !disk {
		moved = p.feed() || moved
	}
	if disk {
		moved = p.saveBacklog(ctx, trouble) || moved
	}
	p.remove(ctx)
	return !p.resume(trouble) && moved
}

// look tells what is wrong with publishing, and closes the direct way if
// something is.
func (p *Pipeline) look() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	trouble := p.trouble
	if trouble == nil && p.flight.len() > 0 && time.Since(p.flight.front().since) > stallAfter {
		trouble = errStalled
	}
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
func (p *Pipeline) resume(trouble error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if trouble != nil || p.next <= p.last || p.backlog.len() > 0 || p.disk.waits() {
		return false
	}
	after := time.Since(p.since).Round(time.Millisecond)
	p.direct, p.since = true, time.Now()
	p.notify()
	p.opt.Log.Info().Str("code", "spool.ended").Stringer("after", after).Msg("events go straight to NATS again; what the spool held is published")
	return true
}

func (p *Pipeline) isDirect() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.direct
}

// saveFlight copies to disk what the publisher has and may not get rid of.
func (p *Pipeline) saveFlight(ctx context.Context) bool {
	p.mu.Lock()
	p.unsaved = max(p.unsaved, p.flight.first)
	w := writing{}
	for ; p.unsaved < p.flight.end() && w.fits(); p.unsaved++ {
		if it := p.flight.at(p.unsaved); it.sequence == 0 && !it.done {
			w.add(it)
			w.tags = append(w.tags, p.unsaved)
		}
	}
	p.mu.Unlock()
	if len(w.msgs) == 0 {
		return false
	}
	if !p.write(ctx, w) {
		p.mu.Lock()
		p.unsaved = 0 // look again
		p.mu.Unlock()
		return false
	}
	return true
}

// saveBacklog takes the backlog to disk if it cannot go to the publisher. Nothing
// in flight may be unsaved then, since on disk it comes first.
func (p *Pipeline) saveBacklog(ctx context.Context, trouble error) bool {
	p.mu.Lock()
	waits := trouble != nil || p.next <= p.last
	if !waits || trouble != nil && p.unsaved < p.flight.end() {
		p.mu.Unlock()
		return false
	}
	w := writing{}
	for n := p.backlog.first; n < p.backlog.end() && w.fits(); n++ {
		w.add(p.backlog.at(n))
	}
	p.mu.Unlock()
	return len(w.msgs) > 0 && p.write(ctx, w)
}

// load has the publisher go on with what is on disk.
func (p *Pipeline) load(ctx context.Context) bool {
	if p.disk.log == nil {
		return false
	}
	p.mu.Lock()
	next, last := p.next, p.last
	p.mu.Unlock()
	if next > last {
		p.disk.ahead = nil
		return false
	}
	if len(p.disk.ahead) == 0 || p.disk.ahead[0].Sequence != next {
		if st := p.pub.Stats(); st.Pending > removeBatch/2 || st.Err != nil && st.Pending > 0 {
			return false // it has enough
		}
		records, err := p.disk.log.Read(ctx, next, readBatch)
		switch {
		case errors.Is(err, spool.ErrDamaged):
			p.skip(last + 1)
			return true
		case err != nil:
			p.failed(err)
			p.closeSpool()
			return false
		}
		p.disk.ahead = records
		p.skip(records[0].Sequence)
	}
	loaded := 0
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.disk.ahead {
		if r.Sequence != p.next {
			break
		}
		var sent time.Time
		if r.Sequence <= p.disk.leftOver {
			sent = r.At
		}
		if p.passed[r.Sequence] {
			delete(p.passed, r.Sequence)
			p.next = r.Sequence + 1
			loaded++
			continue
		}
		it := item{msg: r.Msg, size: publisher.Size(r.Msg), accepted: r.At, after: r.After, sequence: r.Sequence}
		if r.Sequence > p.disk.leftOver {
			it.line = p.lineOf(r.Msg)
		} else {
			p.inherit(r.Msg)
		}
		if !p.offer(it, sent) {
			break
		}
		p.next = r.Sequence + 1
		loaded++
	}
	p.disk.ahead = p.disk.ahead[loaded:]
	return loaded > 0
}

// skip goes on at a record, without those before it, which are damaged.
func (p *Pipeline) skip(to uint64) {
	p.mu.Lock()
	lost := to - p.next
	for ; p.next < to; p.next++ {
		delete(p.passed, p.next)
	}
	p.mu.Unlock()
	if lost > 0 {
		p.harm(fmt.Sprintf("%d events", lost))
	}
}

// feed hands the backlog to the publisher when nothing on disk comes before it.
func (p *Pipeline) feed() (moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.backlog.len() > 0 && p.next > p.last && !p.disk.waits() && p.offer(*p.backlog.front(), time.Time{}) {
		p.dropBacklog()
		moved = true
	}
	if moved {
		p.notify()
	}
	return moved
}

// dropBacklog takes the first message out of the backlog. The caller holds p.mu.
func (p *Pipeline) dropBacklog() item {
	it := p.backlog.pop()
	p.backlogBytes -= it.size
	return it
}

// remove removes from disk what is stored in the stream.
func (p *Pipeline) remove(ctx context.Context) {
	d := &p.disk
	if d.log == nil {
		return
	}
	p.mu.Lock()
	through, last := p.stored(), p.last
	count := int(through - p.removed)
	p.mu.Unlock()
	if count <= 0 || count < removeBatch && time.Since(d.removed) < removePeriod {
		return
	}
	d.removed = time.Now()
	switch {
	case !d.broken:
		if err := d.log.Remove(ctx, through); err != nil {
			d.broken = true
			p.failed(err)
			return
		}
	case through == last: // nothing in it is needed any more
		err := d.log.Discard()
		d.log, d.broken = nil, false
		if err != nil {
			p.failed(err)
			return
		}
	default:
		return
	}
	p.mu.Lock()
	p.removed, p.bytes = through, 0
	if d.log != nil {
		p.bytes = d.log.Bytes()
	}
	full := errors.Is(p.spoolErr, spool.ErrFull)
	p.mu.Unlock()
	if full {
		d.retry = time.Time{}
		p.usable()
	}
}

// stored is up to where everything on disk is stored in the stream, or else done
// with. The caller holds p.mu.
func (p *Pipeline) stored() uint64 {
	through := p.next - 1
	for n := p.flight.first; n < p.flight.end(); n++ {
		if it := p.flight.at(n); !it.done && it.sequence > 0 {
			through = min(through, it.sequence-1)
		}
	}
	return through
}
