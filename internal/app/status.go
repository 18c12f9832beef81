package app

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/httpserver"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// subscriptionStatus returns what this replica knows of a subscription, without the metrics'
// counts.
func (r *replica) subscriptionStatus(id string) status.Subscription {
	lease := r.candidate.Holding(id)
	s := status.Subscription{
		Subscription: id, Role: status.Standby, Leader: lease.Replica, LeaderNonce: lease.Nonce, Epoch: lease.Epoch, Since: lease.Since,
	}
	b := r.bridges.latest(id)
	if b == nil {
		return s
	}
	c := b.Status()
	s.InFlight = c.InFlight
	margin, leads := r.candidate.Margin(id)
	if !leads {
		return s
	}
	s.Role, s.Leader, s.LeaderNonce, s.Epoch = status.Leader, r.o.Config.Replica, r.candidate.Nonce(), c.State.Epoch
	s.State, s.StateSince, s.Trouble = string(c.State.State), c.State.Since, c.Trouble
	s.Adopting = c.Adopting
	s.Connection, s.LastFrame, s.LastEvent = c.State.Connection, c.State.LastFrame, c.State.LastEvent
	s.RoundTrip = float64(c.RoundTrip.Microseconds()) / 1000
	s.Trusted = margin.Seconds()
	if s.Trouble == "" && c.State.State != record.Connected {
		s.Trouble = r.tokens.Stats().Trouble()
	}
	if s.StateSince.IsZero() { // never connected yet
		s.StateSince = lease.Since
	}
	if g := c.State.LastGap; g != nil {
		s.LastGap = &status.Gap{From: g.From, To: g.To, Duration: g.To.Sub(g.From).Seconds(), Cause: string(g.Cause), Certain: g.Certain}
	}
	return s
}

func (r *replica) fillOutbox(p *status.Outbox, now time.Time) {
	st := r.outbox.Stats()
	p.Direct, p.InFlight = st.Direct, st.Publisher.Pending+st.Backlog
	p.Spooled, p.Bytes = st.Spooled, st.Bytes
	if wait := now.Sub(st.Oldest); !st.Oldest.IsZero() && (!st.Direct || wait > time.Second) { // otherwise it is merely in flight
		p.Age = max(0, wait.Seconds())
	}
	if st.Trouble != nil {
		p.Trouble = st.Trouble.Error()
	}
	p.Bucket = r.bucketTrouble()
	if st.SpoolErr != nil {
		p.Disk = st.SpoolErr.Error()
	}
}

func (r *replica) fillToken(t *status.Token) {
	st := r.tokens.Stats()
	t.Denied = st.Credentials == zoom.CredentialsDenied
	t.Refreshes, t.Failures, t.Trouble = st.Refreshes, st.Failures, cmp.Or(st.Trouble(), st.Rivals)
	if !st.Expires.IsZero() {
		t.Expires = r.monitor.clock(st.Expires).UTC()
	}
}

// jetStream returns the connection for questions, or the reason why none can be asked now.
func (m *monitor) jetStream() (jetstream.JetStream, error) {
	nc, r := m.nc.Load(), m.replica.Load()
	switch {
	case nc == nil || !nc.IsConnected():
		return nil, httpserver.ErrNoNATS
	case r == nil:
		return nil, httpserver.ErrWaiting
	}
	return r.js, nil
}

// connectForSearch opens a separate connection, which the caller closes: on the replica's own, a
// search would delay acknowledgements and the lease.
func (m *monitor) connectForSearch(ctx context.Context) (jetstream.JetStream, error) {
	if _, err := m.jetStream(); err != nil {
		return nil, err
	}
	options := *m.login.Load()
	options.Name += ": search"
	options.Denied, options.Refused = nil, nil
	return natsconn.ConnectNow(ctx, options)
}

// overview asks all replicas. If that fails, it returns what this one knows, and the error.
func (m *monitor) overview(ctx context.Context, history bool) (*status.Overview, error) {
	js, err := m.jetStream()
	if err != nil {
		return status.Alone(m.o.Config.Bucket, m.status(true)), err
	}
	o, err := status.Ask(ctx, js, status.AskOptions{Bucket: m.o.Config.Bucket, History: history})
	if err != nil {
		return status.Alone(m.o.Config.Bucket, m.status(true)), err
	}
	return o, nil
}
