package lease

import "time"

const (
	shedAtOnce    = 5                // maximum number of leases given away and not yet taken
	shedRest      = 30 * time.Second // pause after one that nobody took
	settledLeader = 2 * time.Second  // age below which a term is not given away
)

// balance gives leases away if this replica has more than its fair share and another one
// has too few.
func (c *Candidate) balance() {
	if leaving, resting := c.reluctance(); leaving || resting || !c.peers.settled() {
		return
	}
	others := c.peers.sharing()
	held := c.view.allHolders(2 * c.timing.ttl)
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.shedAgain) {
		return
	}
	var leading []*elector
	mine, yielding := 0, 0
	for _, e := range c.electors {
		if e.yielded.Load() {
			yielding++
		} else if t := e.leading.Load(); t != nil {
			mine++
			if time.Since(t.record.Since) > settledLeader && t.connected.Load() { // otherwise it may be about to connect
				leading = append(leading, e)
			}
		}
	}
	excess := min(mine-c.fairShare(len(others)), shedAtOnce-yielding)
	for nonce, leads := range others {
		lacks := min(len(c.opt.Subscriptions)/(len(others)+1), len(leads)) - held[nonce] - yielding
		for i := 0; i < len(leading) && lacks > 0 && excess > 0; i++ {
			if e := leading[i]; leads[e.subscription] && !e.yielded.Load() {
				e.yield(reasonRebalance)
				lacks, excess = lacks-1, excess-1
			}
		}
	}
}

// shedFailed records that a lease which was given away came back.
func (c *Candidate) shedFailed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shedAgain = time.Now().Add(shedRest)
}
