package lease

import (
	"sync"
	"time"
)

const (
	probePeriod   = 200 * time.Millisecond // between two questions to a holder
	probeTimeout  = 300 * time.Millisecond // of one; no answer in time says nothing
	presenceTicks = 5                      // probe periods between two announcements
	balanceTicks  = 2                      // probe periods between two looks at who holds how many

	// deathMisses times in a row there was no responder: dead.
	deathMisses = 2
	// forgetAfter without an announcement, a replica counts no more.
	forgetAfter = 3500 * time.Millisecond
	// quietPeriod after our own reconnection nobody is found dead: after the
	// restart of a NATS server all replicas come back one by one.
	quietPeriod = 3 * time.Second
)

// peer is another replica.
type peer struct {
	heard   time.Time // its last announcement; zero: none
	leaving bool      // it takes no leases
	alive   time.Time // its last answer
	probing bool      // a question is under way
	misses  int       // times in a row without a responder
	died    time.Time // zero: not dead
}

// peers is what is known of the other replicas, by nonce.
type peers struct {
	mu         sync.Mutex
	all        map[string]*peer
	quietUntil time.Time
}

func newPeers() *peers { return &peers{all: make(map[string]*peer)} }

// peer finds or makes an entry; the caller holds p.mu.
func (p *peers) peer(nonce string) *peer {
	known := p.all[nonce]
	if known == nil {
		known = &peer{}
		p.all[nonce] = known
	}
	return known
}

// announced notes an announcement, and whether the replica is new or has changed
// its mind.
func (p *peers) announced(nonce string, leaving bool) (first, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	first, changed = known.heard.IsZero(), known.leaving != leaving
	known.heard, known.leaving, known.died = time.Now(), leaving, time.Time{}
	for other, k := range p.all { // those that are long gone
		if time.Since(k.heard) > time.Hour && time.Since(k.alive) > time.Hour {
			delete(p.all, other)
		}
	}
	return first, changed
}

// willing lists those that would take a free lease.
func (p *peers) willing() (nonces []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nonce, k := range p.all {
		if time.Since(k.heard) < forgetAfter && !k.leaving && k.died.IsZero() {
			nonces = append(nonces, nonce)
		}
	}
	return nonces
}

// startProbe reports whether a holder may be asked: one question at a time.
func (p *peers) startProbe(nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	if known.probing || time.Now().Before(p.quietUntil) {
		return false
	}
	known.probing = true
	return true
}

// answered ends a question that was answered.
func (p *peers) answered(nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	known.probing, known.misses, known.alive, known.died = false, 0, time.Now(), time.Time{}
}

// unanswered ends a question that says nothing.
func (p *peers) unanswered(nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	known.probing, known.misses = false, 0
}

// missed ends a question to which there was no responder, and tells whether
// that was a death.
func (p *peers) missed(nonce string) (died bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	known.probing = false
	if time.Now().Before(p.quietUntil) {
		known.misses = 0
		return false
	}
	known.misses++
	if known.misses < deathMisses || !known.died.IsZero() {
		return false
	}
	known.died = time.Now()
	return true
}

// quiet makes everybody count as alive for a while.
func (p *peers) quiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quietUntil = time.Now().Add(quietPeriod)
	for _, k := range p.all {
		k.misses, k.died = 0, time.Time{}
	}
}

// deadSince tells whether a replica was found dead, and when.
func (p *peers) deadSince(nonce string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.all[nonce]
	if k == nil {
		return time.Time{}, false
	}
	return k.died, !k.died.IsZero()
}

// aliveAt is when a replica last answered; zero: never.
func (p *peers) aliveAt(nonce string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.all[nonce]; k != nil {
		return k.alive
	}
	return time.Time{}
}
