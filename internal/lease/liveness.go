package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/record"
)

// Replicas learn of one another over core NATS. Each announces itself on
// record.PresenceSubject and answers requests on its own record.ReplicaSubject: a request
// with a question as its body with Options.Answer, an empty one with Options.UnsafeFor in
// milliseconds.
func (c *Candidate) replicaSubject(nonce string) string {
	return record.ReplicaSubject(c.opt.Bucket, nonce)
}

func (c *Candidate) presenceSubject() string { return record.PresenceSubject(c.opt.Bucket) }

// Bounds of what is received.
const (
	maxQuestion = 1 << 10 // bytes of a question
	// maxWaiting messages of maxWaitingBytes may wait to be handled. Further ones are
	// dropped; their senders send them again.
	maxWaiting      = 1024
	maxWaitingBytes = 8 << 20
)

// answer subscribes to the announcements and questions of other replicas. leave
// unsubscribes.
func (c *Candidate) answer() (leave func(), err error) {
	questions, err := c.nc.Subscribe(c.replicaSubject(c.nonce), func(msg *nats.Msg) {
		var answer []byte
		if n := len(msg.Data); n == 0 && c.opt.UnsafeFor != nil {
			answer = strconv.AppendInt(nil, c.opt.UnsafeFor().Milliseconds(), 10)
		} else if n > 0 && n <= maxQuestion && c.opt.Answer != nil {
			answer = c.opt.Answer(string(msg.Data))
		}
		msg.Respond(answer) //nolint:errcheck // the replica will ask again
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", c.replicaSubject(c.nonce), err)
	}
	announcements, err := c.nc.Subscribe(c.presenceSubject(), func(msg *nats.Msg) {
		p, err := record.ReadPresence(msg.Data)
		if err != nil || p.Nonce == c.nonce {
			return
		}
		first, changed := c.peers.announced(p)
		if changed {
			c.view.wakeAll("")
		}
		if p.Hello {
			c.announce(false, true)
		}
		if first {
			c.opt.Log.Info().Str("code", "replica.there").Str("other", p.Replica).Msg("another replica is running")
		}
	})
	if err != nil {
		questions.Unsubscribe() //nolint:errcheck // the connection is broken
		return nil, fmt.Errorf("subscribe to %s: %w", c.presenceSubject(), err)
	}
	for _, sub := range []*nats.Subscription{questions, announcements} {
		sub.SetPendingLimits(maxWaiting, maxWaitingBytes) //nolint:errcheck // it was made just now
	}
	return func() {
		questions.Unsubscribe()     //nolint:errcheck // the connection ends
		announcements.Unsubscribe() //nolint:errcheck
	}, nil
}

// announce announces this replica. hello asks the others to announce themselves, too; full
// adds the subscriptions that this replica would lead, which others may not know yet.
func (c *Candidate) announce(hello, full bool) {
	leaving, resting := c.reluctance()
	c.mu.Lock()
	fitness := c.fitness
	c.mu.Unlock()
	p := record.Presence{Fitness: fitness, Replica: c.opt.Replica, Nonce: c.nonce, Leaving: leaving, Resting: resting, Hello: hello}
	if full {
		p.Subscriptions = c.opt.Subscriptions
	}
	text, err := json.Marshal(p)
	if err == nil {
		c.nc.Publish(c.presenceSubject(), text) //nolint:errcheck // again in a second
	}
}

// probe asks one holder whether it lives.
func (c *Candidate) probe(ctx context.Context, nonce string) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	asked := time.Now()
	answer, err := c.nc.RequestWithContext(ctx, c.replicaSubject(nonce), nil)
	switch {
	case err == nil:
		if c.peers.answered(nonce, asked.Add(-parseUnsafe(answer.Data))) {
			c.view.wakeAll(nonce) // so that standbys log for whom they stand by
		}
	case errors.Is(err, nats.ErrNoResponders):
		if c.peers.missed(nonce) {
			c.opt.Log.Warn().Str("code", "replica.gone").Str("other", c.view.replica(nonce)).Msg("a replica that holds leases is gone: nobody answers for it")
			c.view.wakeAll(nonce)
		}
	default:
		c.peers.unanswered(nonce)
	}
}

// maxUnsafe bounds what an answer may claim: anybody could have sent it.
const maxUnsafe = 7 * 24 * time.Hour

// parseUnsafe parses the answer of a replica, in milliseconds. A replica whose answer has
// no number has nothing to lose.
func parseUnsafe(answer []byte) time.Duration {
	if len(answer) > 20 {
		return 0
	}
	milliseconds, err := strconv.ParseUint(string(answer), 10, 63)
	if err != nil {
		return 0
	}
	return time.Duration(min(milliseconds, uint64(maxUnsafe.Milliseconds()))) * time.Millisecond
}

// ErrGone means that no process with the nonce is there to answer: it ended, or is cut off.
var ErrGone = errors.New("the replica does not answer")

// Ask returns the answer of the replica with a nonce to a question (see
// [Options].Answer); if the nonce is this replica's own, it calls Answer itself. It
// returns ErrGone if there is no such process, and an error that wraps the context's if
// the context ends first.
func (c *Candidate) Ask(ctx context.Context, nonce, question string) ([]byte, error) {
	if nonce == c.nonce {
		return c.opt.Answer(question), nil
	}
	answer, err := c.nc.RequestWithContext(ctx, c.replicaSubject(nonce), []byte(question))
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("ask replica %s: %w", nonce, err)
	}
	return answer.Data, nil
}

// SafeUntil is the time from before which another replica had nothing to lose when it last
// answered this one (see [Options].UnsafeFor); zero: it has not answered yet.
func (c *Candidate) SafeUntil(nonce string) time.Time { return c.peers.safeUntil(nonce) }
