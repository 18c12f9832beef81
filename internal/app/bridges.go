package app

import (
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/bridge"
)

// maxTerms is how many terms of a subscription are kept to answer questions about.
const maxTerms = 4

// bridges holds the bridges of each subscription's latest terms, for the status and for successors'
// questions. It is safe for concurrent use.
type bridges struct {
	mu             sync.Mutex
	bySubscription map[string][]*bridge.Bridge // latest last
}

func (b *bridges) add(subscription string, one *bridge.Bridge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bySubscription == nil {
		b.bySubscription = make(map[string][]*bridge.Bridge)
	}
	terms := append(b.bySubscription[subscription], one)
	b.bySubscription[subscription] = terms[max(0, len(terms)-maxTerms):]
}

// latest returns the bridge of a subscription's latest term; nil if there was none.
func (b *bridges) latest(subscription string) *bridge.Bridge {
	b.mu.Lock()
	defer b.mu.Unlock()
	terms := b.bySubscription[subscription]
	if len(terms) == 0 {
		return nil
	}
	return terms[len(terms)-1]
}

// unsafeFor returns for how long there has been something that would be lost with this process.
func (b *bridges) unsafeFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	until := now
	for _, terms := range b.bySubscription {
		for _, one := range terms {
			if at := one.SafeUntil(); at.Before(until) {
				until = at
			}
		}
	}
	return now.Sub(until)
}

// answer answers a successor's question; nil if it is about an unknown term.
func (b *bridges) answer(question string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, terms := range b.bySubscription {
		for _, one := range terms {
			if answer := one.Answer(question); answer != nil {
				return answer
			}
		}
	}
	return nil
}
