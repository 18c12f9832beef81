package app

import (
	"context"
	"slices"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// fitness derives from the token source whether this replica could lead.
func fitness(st zoom.TokenStats) record.Fitness {
	switch st.Credentials {
	case zoom.CredentialsAccepted:
		return record.Fit
	case zoom.CredentialsDenied:
		return record.Unfit
	}
	return record.Untried
}

const (
	// peerTimeout is how long replicas that start at the same time need to learn of each other and
	// their fitness. Each announces itself once a second.
	peerTimeout = 1500 * time.Millisecond
	peerPoll    = 50 * time.Millisecond
)

// handleDenied decides whether this replica keeps running although Zoom has never accepted its
// credentials. If another replica could lead, it does, even when that one ends later: one failure
// must not cause the other. Alone it ends, since a restart does not fix its settings. The token
// source calls it from one goroutine at a time.
func (r *replica) handleDenied(ctx context.Context) (again bool) {
	r.candidate.SetFitness(record.Unfit)
	if !r.survivesDenial {
		r.survivesDenial = r.waitForPeer(ctx)
	}
	return r.survivesDenial
}

// waitForPeer reports whether another replica could lead. It returns as soon as a fit one is known,
// otherwise after peerTimeout, when all have had time to announce themselves.
func (r *replica) waitForPeer(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	poll := time.NewTicker(peerPoll)
	defer poll.Stop()
	for !slices.ContainsFunc(subscriptions(r.o.Config), r.candidate.FitOther) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return r.replaceable()
		}
	}
	return true
}
