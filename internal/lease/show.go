package lease

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Holding is who holds a lease, as far as this replica knows. The zero value means nobody.
type Holding struct {
	Held    bool
	Replica string
	Nonce   string
	Epoch   uint64
	Since   time.Time // by the holder's clock
	Taken   string    // how it was taken, one of the constants below; empty: the holder does not say
}

// How a lease was taken, in Holding.Taken.
const (
	FromNobody = taken          // it was free
	FromMore   = takenRebalance // from a replica that had more than its share
	FromDead   = takenDead      // from a replica whose process was gone
	FromStale  = takenStale     // from a replica that had not renewed it in time
)

func (h holding) exported() Holding {
	if !h.held {
		return Holding{}
	}
	return Holding{Held: true, Replica: h.record.Replica, Nonce: h.record.Nonce, Epoch: cmp.Or(h.record.Epoch, h.revision), Since: h.record.Since, Taken: h.record.Taken}
}

// Holding returns who holds the lease of a subscription.
func (c *Candidate) Holding(subscription string) Holding { return c.view.get(subscription).exported() }

// Margin returns how long this replica may still open a connection of a subscription
// without a new proof of its lease, and whether it leads the subscription.
func (c *Candidate) Margin(subscription string) (margin time.Duration, leads bool) {
	c.mu.Lock()
	e := c.electors[subscription]
	c.mu.Unlock()
	if e == nil {
		return 0, false
	}
	t := e.leading.Load()
	if t == nil {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.trusted() {
		return 0, true
	}
	return time.Until(t.proof.until), true
}

// Peer is another replica.
type Peer struct {
	Replica string
	Nonce   string
	Heard   time.Time // time of its last announcement; from Gone: of its last sign of life
	Leaving bool      // it takes no more leases
}

// Peers returns the other replicas that were heard recently, sorted by name.
func (c *Candidate) Peers() []Peer {
	all := c.peers.announcedPeers()
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Replica, b.Replica), cmp.Compare(a.Nonce, b.Nonce)) })
	return all
}

// goneFor is how long a vanished replica is reported.
const goneFor = 10 * time.Minute

// Gone returns the replicas that vanished in the last ten minutes without announcing that
// they leave, sorted by name, and only the latest of each name. While this replica is cut
// off from NATS, and shortly afterwards, it hears nobody, so Gone returns none.
func (c *Candidate) Gone() []Peer {
	c.startQuietAfterReconnect()
	if !c.nc.IsConnected() || c.peers.quietFor(time.Now()) > 0 {
		return nil
	}
	latest := make(map[string]Peer)
	for _, p := range c.peers.gonePeers() {
		if p.Heard.After(latest[p.Replica].Heard) {
			latest[p.Replica] = p
		}
	}
	for _, p := range c.Peers() {
		delete(latest, p.Replica) // it was restarted
	}
	return slices.SortedFunc(maps.Values(latest), func(a, b Peer) int { return cmp.Compare(a.Replica, b.Replica) })
}

func (p *peers) gonePeers() (all []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nonce, k := range p.all {
		heard := later(k.heard, k.alive)
		if !k.heard.IsZero() && !k.present() && !k.leaving && time.Since(heard) < goneFor {
			all = append(all, Peer{Replica: k.name, Nonce: nonce, Heard: heard})
		}
	}
	return all
}

func (p *peers) announcedPeers() (all []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nonce, k := range p.all {
		if !k.heard.IsZero() && time.Since(k.heard) < forgetAfter && k.died.IsZero() {
			all = append(all, Peer{Replica: k.name, Nonce: nonce, Heard: k.heard, Leaving: k.leaving})
		}
	}
	return all
}

// Why a term of this replica began.
const (
	taken          = "taken"           // the lease was free: released, expired or new
	takenRebalance = "taken_rebalance" // released by a replica that had more than its share
	takenDead      = "taken_dead"      // its holder's process was gone
	takenStale     = "taken_stale"     // its holder had not renewed it in time
)

// Why a term of this replica ended.
const (
	endLost     = "lost"     // another replica took the lease
	endExpired  = "expired"  // it could not be renewed in time
	endReleased = "released" // this replica gave it away: it stops, steps down, is unfit, or had more than its share
)

// transition reports the beginning or end of a term.
func (e *elector) transition(reason string) {
	if e.c.opt.Transition != nil {
		e.c.opt.Transition(e.subscription, reason)
	}
}

// reason is why a lease in the given condition could be taken.
func (e *elector) reason(h holding) string {
	switch _, dead := e.c.peers.deadSince(h.record.Nonce); {
	case h.shed && !e.yielded.Load(): // if yielded, this replica gave it away and nobody took it
		return takenRebalance
	case !h.held:
		return taken
	case dead:
		return takenDead
	}
	return takenStale
}
