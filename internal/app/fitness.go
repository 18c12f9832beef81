package app

import (
	"context"
	"slices"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// fitness is whether a replica whose tokens fare so could lead.
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
	// acquaintance is how long the replicas need to know of one another, and of their
	// fitness, that start at once; each announces itself once a second.
	acquaintance     = 1500 * time.Millisecond
	acquaintanceLook = 50 * time.Millisecond
)

// handleDenied decides whether this replica lives on though Zoom has never taken its
// credentials. Beside another one that could lead it does, for good: that one's end
// must not be its own. Alone it ends, since a restart does not mend its settings. The
// source of tokens calls it from one goroutine at a time.
func (r *replica) handleDenied(ctx context.Context) (again bool) {
	r.candidate.SetFitness(record.Unfit)
	if !r.survivesDenial {
		r.survivesDenial = r.awaitOther(ctx)
	}
	return r.survivesDenial
}

// awaitOther reports whether another replica could lead, as soon as one is known to
// be fit, and otherwise when all that are there had the time to say so.
func (r *replica) awaitOther(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, acquaintance)
	defer cancel()
	look := time.NewTicker(acquaintanceLook)
	defer look.Stop()
	for !slices.ContainsFunc(subscriptions(r.o.Config), r.candidate.FitOther) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return r.replaceable()
		}
	}
	return true
}
