package lease

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

const (
	probePeriod   = 200 * time.Millisecond // between two questions to a holder
	probeTimeout  = 300 * time.Millisecond // for one answer; no answer in time means nothing
	presenceTicks = 5                      // probe periods between two announcements
	balanceTicks  = 2                      // probe periods between two calls of balance

	// deathMisses is how many times in a row a dead replica has no responder.
	deathMisses = 2
	// forgetAfter is how long a replica counts as present after an announcement.
	forgetAfter = 3500 * time.Millisecond
	// overdue is the silence after which an announcement, due once a second, is overdue.
	overdue = 1500 * time.Millisecond
	// quietPeriod is how long after our own reconnection nobody is found dead: after the
	// restart of a NATS server the replicas come back one by one.
	quietPeriod = 3 * time.Second
	// maxPeers bounds the number of known replicas; nobody runs so many.
	maxPeers = 256
)

// peer is what is known about another replica.
type peer struct {
	name    string
	first   time.Time // when it became known
	heard   time.Time // its last announcement; zero: none
	leaving bool      // it takes no more leases
	resting bool      // it takes only leases that nobody else takes
	fitness record.Fitness
	leads   map[string]bool // subscriptions that it would lead, of those that this replica would
	alive   time.Time       // its last answer
	safe    time.Time       // according to that answer it had nothing to lose from before this time
	probing bool            // a question is under way
	misses  int             // times in a row without a responder
	died    time.Time       // when it was found dead; zero: it was not
}

// peers is what is known about the other replicas, by nonce. It is safe for concurrent use.
type peers struct {
	own map[string]bool // subscriptions; never changed

	mu         sync.Mutex
	all        map[string]*peer
	quietUntil time.Time
	back       time.Time // when a silent replica was last heard again
}

func newPeers(subscriptions []string) *peers {
	p := &peers{own: make(map[string]bool), all: make(map[string]*peer)}
	for _, subscription := range subscriptions {
		p.own[subscription] = true
	}
	return p
}

// peer returns the entry of a replica, and makes one if there is none. The caller holds
// p.mu.
func (p *peers) peer(nonce string) *peer {
	known := p.all[nonce]
	if known == nil {
		p.makeRoom()
		known = &peer{first: time.Now()}
		p.all[nonce] = known
	}
	return known
}

// makeRoom forgets replicas that were silent for an hour and, if there are still too many,
// the one that was silent for longest. It reports whether there is room for another one; it
// never forgets those that are present. The caller holds p.mu.
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

// announced records an announcement. It reports whether it is the replica's first one,
// and whether the replica's leaving, resting or fitness has changed.
func (p *peers) announced(a record.Presence) (first, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[a.Nonce] == nil && !p.makeRoom() {
		return false, false
	}
	known := p.peer(a.Nonce)
	a.Leaving = a.Leaving || known.leaving // leaving is final: an announcement without it was overtaken
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

// count counts the replicas that would take a free lease of a subscription and are not
// unfit. With atOnce it leaves out the resting ones.
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

// fit reports whether a replica that is known to be fit would take a lease.
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

// sharing returns the replicas that would lead any of this replica's subscriptions, and
// which ones. It leaves out the resting ones.
func (p *peers) sharing() map[string]map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := make(map[string]map[string]bool)
	for nonce, k := range p.all {
		if k.present() && !k.resting && len(k.leads) > 0 {
			others[nonce] = k.leads // safe to share: it is replaced, never changed
		}
	}
	return others
}

// settled reports whether no replica has just fallen silent or come back. In an outage of
// NATS they all fall silent one after another, and counting them then would share the
// leases among too few.
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

// startProbe begins a question to a holder. It reports whether it may be asked: only one
// question at a time, and none in the quiet period.
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

// answered ends a question that was answered, and reports whether this was the replica's
// first answer. The replica had nothing to lose from before safe.
func (p *peers) answered(nonce string, safe time.Time) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	first = known.alive.IsZero()
	known.probing, known.misses, known.alive, known.safe, known.died = false, 0, time.Now(), safe, time.Time{}
	return first
}

// unanswered ends a question that had no answer in time, which means nothing.
func (p *peers) unanswered(nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.peer(nonce)
	known.probing, known.misses = false, 0
}

// missed ends a question to which there was no responder, and reports whether the
// replica is now found dead.
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
		return false // it is present but has never answered: questions do not get through
	}
	known.misses++
	if known.misses < deathMisses || !known.died.IsZero() {
		return false
	}
	known.died = time.Now()
	return true
}

// quietFor is the rest of the quiet period, in which nobody is found dead; not positive: it
// is over.
func (p *peers) quietFor(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quietUntil.Sub(now)
}

// startQuiet starts a quiet period, in which every replica counts as alive.
func (p *peers) startQuiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quietUntil = time.Now().Add(quietPeriod)
	for _, k := range p.all {
		k.misses, k.died = 0, time.Time{}
	}
}

// deadSince returns when a replica was found dead, and whether it was.
func (p *peers) deadSince(nonce string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.all[nonce]
	if k == nil {
		return time.Time{}, false
	}
	return k.died, !k.died.IsZero()
}

// lives reports whether a replica has ever been heard, and not been found dead since.
func (p *peers) lives(nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.all[nonce]
	return k != nil && k.died.IsZero() && !(k.heard.IsZero() && k.alive.IsZero())
}

// safeUntil is [Candidate.SafeUntil].
func (p *peers) safeUntil(nonce string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.all[nonce]; k != nil {
		return k.safe
	}
	return time.Time{}
}
