package lease

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/kv"
)

// view is what this replica knows about all leases in the bucket, from watching,
// reading and writing.
type view struct {
	mu     sync.Mutex
	leases map[string]holding
	wake   map[string]chan struct{} // of each subscription's elector
	own    map[string]bool          // subscriptions that this replica would lead

	changed func(subscription string, now Holding) // see Options
}

func newView(subscriptions []string, changed func(string, Holding)) *view {
	if changed == nil {
		changed = func(string, Holding) {}
	}
	v := &view{leases: make(map[string]holding), wake: make(map[string]chan struct{}), own: make(map[string]bool), changed: changed}
	for _, subscription := range subscriptions {
		v.own[subscription] = true
	}
	return v
}

// join returns a channel that gets a value whenever the lease changes.
func (v *view) join(subscription string) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	wake := make(chan struct{}, 1)
	v.wake[subscription], v.own[subscription] = wake, true
	return wake
}

func (v *view) get(subscription string) holding {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leases[subscription]
}

// watched records an entry that the watcher reported, which may be outdated, or that
// this replica wrote.
func (v *view) watched(subscription string, e kv.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Revision < v.leases[subscription].revision {
		return
	}
	h := decode(e)
	h.told = time.Now()
	if v.own[subscription] {
		v.set(subscription, h)
		return
	}
	// The holder of such a lease is only shown.
	if _, known := v.leases[subscription]; !known && (!h.held || len(v.leases)-len(v.own) >= maxForeign) {
		return
	}
	v.set(subscription, h)
	if !h.held {
		delete(v.leases, subscription)
	}
}

// maxForeign bounds the number of leases kept that this replica would not lead.
const maxForeign = 1024

// read records what the stream's leader answered to a request begun at the given time.
// The answer counts even if its revision is lower, since the bucket may have been
// created again, but not if the watcher has reported a later one since.
func (v *view) read(subscription string, e kv.Entry, began time.Time) holding {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.leases[subscription]; e.Revision < old.revision && !old.changed.Before(began) {
		return old
	}
	h := decode(e)
	h.read = true
	return v.set(subscription, h)
}

func (v *view) set(subscription string, h holding) holding {
	old := v.leases[subscription]
	h.heard, h.changed, h.since = time.Now(), time.Now(), time.Now()
	h.epoch = max(h.epoch, old.epoch)
	if old.held && h.held && sameTerm(old.record, h.record) {
		h.since = old.since
	}
	h.freed = !h.held && (old.held || old.freed)
	if h.told.IsZero() {
		h.told = old.told
	}
	if old.known && old.revision == h.revision && old.held == h.held {
		h.changed = old.changed
	} else if wake := v.wake[subscription]; wake != nil {
		signal(wake)
	}
	v.leases[subscription] = h
	if old.held != h.held || h.held && !sameTerm(old.record, h.record) {
		v.changed(subscription, h.exported())
	}
	return h
}

// holders counts the leases that each process holds, by nonce, among those that this
// replica would lead.
func (v *view) holders(freshness time.Duration) map[string]int {
	return v.count(freshness, func(subscription string) bool { return v.own[subscription] })
}

// allHolders also counts the leases that this replica would not lead. The watcher may have
// missed the end of one of them.
func (v *view) allHolders(freshness time.Duration) map[string]int {
	return v.count(freshness, func(string) bool { return true })
}

func (v *view) count(freshness time.Duration, counts func(subscription string) bool) map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	held := make(map[string]int)
	for subscription, h := range v.leases {
		if counts(subscription) && h.held && h.record.Nonce != "" && time.Since(h.heard) < freshness {
			held[h.record.Nonce]++
		}
	}
	return held
}

// replica is the name of the replica with a nonce; "?" if it is unknown.
func (v *view) replica(nonce string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.leases {
		if h.record.Nonce == nonce {
			return h.record.Replica
		}
	}
	return "?"
}

// wakeAll wakes the electors of all leases that the process with a nonce holds, or all
// electors if the nonce is empty.
func (v *view) wakeAll(nonce string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for subscription, wake := range v.wake {
		if nonce == "" || v.leases[subscription].record.Nonce == nonce {
			signal(wake)
		}
	}
}
