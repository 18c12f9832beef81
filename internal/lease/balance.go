package lease

import "time"

const (
	shedAtOnce    = 5                // leases given away and not yet taken
	shedRest      = 30 * time.Second // after one that nobody took
	settledLeader = 2 * time.Second  // a younger term is not given away
)

// balance gives leases away if another replica has too few.
func (c *Candidate) balance() {
	if c.unwilling() {
		return
	}
	others := c.peers.willing()
	held := c.view.holders()
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
			if time.Since(t.record.Since) > settledLeader {
				leading = append(leading, e)
			}
		}
	}
	fair := c.fairShare(len(others))
	wanted := 0 // what the others lack
	for _, nonce := range others {
		wanted += max(0, c.opt.Subscriptions/(len(others)+1)-held[nonce])
	}
	for _, e := range leading[:min(len(leading), max(0, mine-fair), max(0, wanted-yielding), max(0, shedAtOnce-yielding))] {
		e.yield()
	}
}

// shedFailed is told that a lease that was given away came back.
func (c *Candidate) shedFailed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shedAgain = time.Now().Add(shedRest)
}
