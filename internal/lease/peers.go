package lease

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
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
	// overdue is when an announcement, one each second, should have come.
	overdue = 1500 * time.Millisecond
	// quietPeriod after our own reconnection nobody is found dead: after the
	// restart of a NATS server all replicas come back one by one.
	quietPeriod = 3 * time.Second
	// maxPeers are known: more replicas than anybody runs.
	maxPeers = 256
)

// peer is another replica.
type peer struct {
	name    string
	first   time.Time // when it became known
	heard   time.Time // its last announcement; zero: none
	leaving bool      // it takes no leases any more
	resting bool      // it takes those that nobody else takes
	fitness record.Fitness
	leads   map[string]bool // the subscriptions of this replica that it would lead, too
	alive   time.Time       // its last answer
	safe    time.Time       // before that it had nothing to lose, by this answer
	probing bool            // a question is under way
	misses  int             // times in a row without a responder
	died    time.Time       // zero: not dead
}

// peers is what is known of the other replicas, by nonce.
type peers struct {
	own map[string]bool // subscriptions; never changed

	mu         sync.Mutex
	all        map[string]*peer
	quietUntil time.Time
	back       time.Time // when a replica was last heard that had been silent
}

func newPeers(subscriptions []string) *peers {
	p := &peers{own: make(map[string]bool), all: make(map[string]*peer)}
	for _, subscription := range subscriptions {
		p.own[subscription] = true
	}
	return p
}

// peer finds or makes an entry; the caller holds p.mu.
func (p *peers) peer(nonce string) *peer {
	known := p.all[nonce]
	if known == nil {
		p.makeRoom()
		known = &peer{first: time.Now()}
		p.all[nonce] = known
	}
	return known
}

// makeRoom forgets those that are long gone, and the one that is gone for longest if
// there still are too many. It reports whether there is room for another one: those
// that are there stay. The caller holds p.mu.
func (p *peers) makeRoom() bool {
	var stalest string
	var stalestSign time.Time
	for nonce, k := range p.all {
		sign := k.lastSign()
		if time.Since(sign) > time.Hour {
			delete(p.all, nonce)
		} else if stalest == "" || sign.Before(stalestSign) {
			stalest, stalestSign = nonce, sign
		}
	}
	if len(p.all) < maxPeers {
		return true
	}
	if time.Since(stalestSign) < forgetAfter {
		return false
	}
	delete(p.all, stalest)
	return true
}

// lastSign is when anything was last heard of a replica.
func (k *peer) lastSign() time.Time { return later(k.first, later(k.heard, k.alive)) }

// announced notes an announcement, and whether the replica is new or has changed
// its mind.
func (p *peers) announced(a record.Presence) (first, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[a.Nonce] == nil && !p.makeRoom() {
		return false, false
	}
	known := p.peer(a.Nonce)
	a.Leaving = a.Leaving || known.leaving // for good: what says otherwise was overtaken on its way out
	if first = known.heard.IsZero(); !first && time.Since(known.heard) > forgetAfter {
		p.back = time.Now()
	}
	changed = known.leaving != a.Leaving || known.resting != a.Resting || known.fitness != a.Fitness
	known.name, known.heard, known.leaving, known.resting, known.died = a.Replica, time.Now(), a.Leaving, a.Resting, time.Time{}
	known.fitness = a.Fitness
	if a.Subscriptions != nil {
		known.leads = make(map[string]bool)
		for _, subscription := range a.Subscriptions {
			if p.own[subscription] {
				known.leads[subscription] = true
			}
		}
	}
	return first, changed
}

// count counts those that would take a free lease of a subscription, at once or
// at all, and could lead.
func (p *peers) count(subscription string, atOnce bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, k := range p.all {
		if k.present() && k.fitness != record.Unfit && k.leads[subscription] && !(atOnce && k.resting) {
			n++
		}
	}
	return n
}

// fit reports whether one that is known to be fit would take a lease.
func (p *peers) fit(subscription string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.all {
		if k.present() && k.fitness == record.Fit && k.leads[subscription] {
			return true
		}
	}
	return false
}

// sharing lists those that would lead any of this replica's subscriptions, and which.
func (p *peers) sharing() map[string]map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := make(map[string]map[string]bool)
	for nonce, k := range p.all {
		if k.present() && !k.resting && len(k.leads) > 0 {
			others[nonce] = k.leads // it is replaced, never changed
		}
	}
	return others
}

// settled reports whether no replica has fallen silent, or come back, just now. When NATS
// goes away, they all do, one after another, and who counts them then shares among too
// few.
func (p *peers) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Before(p.quietUntil) || now.Before(p.back.Add(quietPeriod)) {
		return false
	}
	for _, k := range p.all {
		if silent := time.Since(k.heard); !k.leaving && k.died.IsZero() && silent > overdue && silent < forgetAfter {
			return false
		}
	}
	return true
}

func (k *peer) present() bool {
	return time.Since(k.heard) < forgetAfter && !k.leaving && k.died.IsZero()
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

// answered ends a question that was answered, and tells whether it was the first. Before
// safe the replica had nothing to lose.
func (p *peers) answered(nonce string, safe time.Time) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	first = known.alive.IsZero()
	known.probing, known.misses, known.alive, known.safe, known.died = false, 0, time.Now(), safe, time.Time{}
	return first
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
	if known.alive.IsZero() && time.Since(known.heard) < forgetAfter {
		return false // it is there and has never answered: questions do not get through
	}
	known.misses++
	if known.misses < deathMisses || !known.died.IsZero() {
		return false
	}
	known.died = time.Now()
	return true
}

// quietFor is how long nobody is found dead from now on.
func (p *peers) quietFor(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quietUntil.Sub(now)
}

// startQuiet makes everybody count as alive for a while.
func (p *peers) startQuiet() {
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

// lives reports whether a replica was heard, and not found dead since.
func (p *peers) lives(nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.all[nonce]
	return k != nil && k.died.IsZero() && !(k.heard.IsZero() && k.alive.IsZero())
}

// safeUntil is as Candidate.SafeUntil.
func (p *peers) safeUntil(nonce string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.all[nonce]; k != nil {
		return k.safe
	}
	return time.Time{}
}
