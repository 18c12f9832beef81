package lease

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// link counts the losses of the connection to NATS. The connection itself cannot be asked where
// the answer is needed at once: while it dials a server, it holds its lock, for seconds if that
// server does not answer. It is safe for concurrent use.
type link struct {
	lost   chan nats.Status
	losses atomic.Uint64
}

func newLink(nc *nats.Conn) *link {
	return &link{lost: nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)}
}

// follow counts until the context ends.
func (l *link) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.lost:
			l.losses.Add(1)
		}
	}
}
