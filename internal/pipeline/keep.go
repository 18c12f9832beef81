package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/publisher"
)

// kept is a copy of a message that its owner cannot publish yet.
type kept struct {
	msg      *nats.Msg
	sequence uint64 // in the spool; 0: it is not there
}

// Keep takes a copy of a message that is to be published later, for the next run
// in case this one dies before. It goes to disk if Release does not come soon. The
// copy must not be changed.
func (l *Line) Keep(msg *nats.Msg) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if len(l.kept) == 0 {
		l.keptSince = time.Now()
	}
	l.kept = append(l.kept, &kept{msg: msg})
	l.p.keeping[l] = true
	if time.Since(l.keptSince) > stallAfter {
		signal(l.p.wake)
	}
}

// Release forgets the copies, when their messages have been published.
func (l *Line) Release() {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	var r released
	for _, k := range l.kept {
		if r.first == 0 {
			r.first = k.sequence
		}
		r.last = max(r.last, k.sequence)
	}
	if r.last > 0 {
		l.p.released = append(l.p.released, r)
	}
	l.kept = nil
	delete(l.p.keeping, l)
}

// saveKept writes to disk the copies of Lines that have to wait for long. What such
// a Line has published before must be stored or on disk: it comes first.
func (p *Pipeline) saveKept(ctx context.Context) {
	p.mu.Lock()
	w := writing{after: p.sequence}
	for l := range p.keeping {
		if time.Since(l.keptSince) <= stallAfter || l.unsafe > 0 {
			continue
		}
		for _, k := range l.kept {
			if k.sequence == 0 && w.fits() {
				w.msgs, w.kept = append(w.msgs, k.msg), append(w.kept, k)
				w.bytes += publisher.Size(k.msg)
			}
		}
	}
	p.mu.Unlock()
	if len(w.msgs) > 0 && p.openSpool(ctx) {
		p.write(ctx, w)
	}
}

// released are copies on disk that are needed no more. They are removed together: were
// only the later ones of them left, the next run would publish those first.
type released struct{ first, last uint64 }

// whole is the last record that can be removed, up to one that could be if it did not
// part copies. The caller holds p.mu.
func (p *Pipeline) whole(through uint64) uint64 {
	p.released = slices.DeleteFunc(p.released, func(r released) bool { return r.last <= p.removed || r.first > p.last })
	for again := true; again; {
		again = false
		for _, r := range p.released {
			if r.first <= through && through < min(r.last, p.last) {
				through, again = r.first-1, true
			}
		}
	}
	return through
}

// pinned is the oldest copy on disk; 0: there is none. The caller holds p.mu.
func (p *Pipeline) pinned() (oldest uint64) {
	for l := range p.keeping {
		for _, k := range l.kept {
			if k.sequence > 0 && (oldest == 0 || k.sequence < oldest) {
				oldest = k.sequence
			}
		}
	}
	return oldest
}

// keptSince is when the oldest copy was taken; zero: there is none. The caller holds
// p.mu.
func (p *Pipeline) keptSince() (oldest time.Time) {
	for l := range p.keeping {
		if oldest.IsZero() || l.keptSince.Before(oldest) {
			oldest = l.keptSince
		}
	}
	return oldest
}
