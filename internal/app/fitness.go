package app

import (
	"context"
	"slices"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// fitness is whether a replica with these tokens could lead.
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
	// peerTimeout is how long replicas that start at once need to know each other and their
	// fitness. Each announces itself once a second.
	peerTimeout = 1500 * time.Millisecond
	peerPoll    = 50 * time.Millisecond
)

// handleDenied decides whether this replica lives on though Zoom has never taken its
// credentials. Beside another one that could lead it does, for good: that one's end
// must not be its own. Alone it ends, since a restart does not mend its settings. The
// source of tokens calls it from one goroutine at a time.
func (r *replica) handleDenied(ctx context.Context) (again bool) {
	r.candidate.SetFitness(record.Unfit)
	if !r.survivesDenial {
		r.survivesDenial = r.waitForPeer(ctx)
	}
	return r.survivesDenial
}

// waitForPeer reports whether another replica could lead: as soon as one is known to be
// fit, else when all that are there have had the time to announce themselves.
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
