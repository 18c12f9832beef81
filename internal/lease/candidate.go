package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

const (
	// takesPerSecond and takesAtOnce limit the rate of taking leases that nobody held
	// when this replica started, so that replicas that start together share, and a
	// single one with hundreds of subscriptions does not flood Zoom.
	takesPerSecond = 50
	takesAtOnce    = 10
	// successionsPerSecond and successionsAtOnce limit the rate of taking the leases of
	// replicas that leave or die.
	successionsPerSecond = 500
	successionsAtOnce    = 50

	// After StepDown, a replica takes no free leases for stepDownRest, except those that
	// nobody else takes within stepDownPause.
	stepDownRest  = time.Minute
	stepDownPause = 3 * time.Second

	// courtesy is the head start that a replica with its fair share gives to others.
	courtesy = 300 * time.Millisecond

	// deliverTimeout is how long the server may take to read that this replica leaves.
	deliverTimeout = time.Second
)

// Options of a Candidate.
type Options struct {
	Bucket        string        // name, part of the liveness subjects
	TTL           time.Duration // of a lease, whole seconds
	Replica       string        // name, for people
	Subscriptions []string      // that it would lead
	// Answer is this replica's answer to a question from Ask. It must be quick.
	Answer func(question string) []byte
	// UnsafeFor is how long ago the oldest of what would be lost with this process
	// arrived. Others learn it with each sign of life. It must be quick. nil: nothing
	// would ever be lost.
	UnsafeFor func() time.Duration
	// Epoch returns the highest epoch of a subscription that is known elsewhere. It is
	// called while a lease is taken, if the lease's own revisions do not prove that no
	// epoch was higher; may be nil.
	Epoch func(ctx context.Context, subscription string) uint64
	// Recorded returns the epoch of the term that last recorded the state of a
	// subscription; 0: none has. It is called before an expired lease is taken back; may
	// be nil.
	Recorded func(ctx context.Context, subscription string) (uint64, error)
	// Transition is called at the beginning and end of each term of this replica, with
	// the reason (see show.go); may be nil.
	Transition func(subscription, reason string)
	// Tick is called a few times a second as long as Run's own loop runs; may be nil.
	Tick func()
	// Changed is called whenever the holder of a lease in the bucket changes, also to
	// nobody. It is called with a lock held: it must be quick and not call the Candidate;
	// may be nil.
	Changed func(subscription string, now Holding)
	Log     zerolog.Logger
}

// Candidate is this process as a candidate for leases. It is safe for concurrent use.
type Candidate struct {
	nc                 *nats.Conn
	link               *link
	bucket             *kv.Bucket
	opt                Options
	timing             timing
	nonce              string
	host               string
	view               *view
	peers              *peers
	takes, successions *rate.Limiter

	reconnects atomic.Uint64 // of the connection to NATS, at the last call of startQuietAfterReconnect
	away       atomic.Bool   // the latest read of a lease failed: NATS is, or just was, unavailable

	mu        sync.Mutex
	electors  map[string]*elector
	resting   time.Time // until then this replica has stepped down
	fitness   record.Fitness
	shedAgain time.Time // no lease is given away for balance before
	leaving   bool
}

// New returns a Candidate. Nothing happens before Run and Campaign.
func New(nc *nats.Conn, bucket *kv.Bucket, opt Options) *Candidate {
	host, _ := os.Hostname() // only for people
	return &Candidate{
		nc: nc, link: newLink(nc), bucket: bucket, opt: opt, timing: timingOf(opt.TTL), nonce: nuid.Next(), host: host,
		view: newView(opt.Subscriptions, opt.Changed), peers: newPeers(opt.Subscriptions), takes: rate.NewLimiter(takesPerSecond, takesAtOnce),
		successions: rate.NewLimiter(successionsPerSecond, successionsAtOnce),
		electors:    make(map[string]*elector),
	}
}

// Nonce identifies this process among all replicas, past and present.
func (c *Candidate) Nonce() string { return c.nonce }

// Run watches the leases and the other replicas, and answers their questions, until
// the context ends. End it after all calls of Campaign have returned: the successors
// ask questions. It returns an error if it cannot subscribe to what other replicas
// send.
func (c *Candidate) Run(ctx context.Context) error {
	leave, err := c.answer()
	if err != nil {
		return fmt.Errorf("liveness: %w", err)
	}
	defer leave()
	var owned sync.WaitGroup
	defer owned.Wait()
	defer c.deliver()
	owned.Go(func() { c.link.follow(ctx) })
	owned.Go(func() { c.watch(ctx) })
	c.announce(true, true)
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	reconnects := c.nc.Stats().Reconnects
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if c.opt.Tick != nil {
			c.opt.Tick()
		}
		if r := c.nc.Stats().Reconnects; r != reconnects {
			reconnects = r
			c.startQuietAfterReconnect()
			c.announce(true, true)
			c.renewAll()
		}
		for nonce := range c.view.holders(2 * c.timing.ttl) {
			if nonce != c.nonce && c.peers.startProbe(nonce) {
				owned.Go(func() { c.probe(ctx, nonce) })
			}
		}
		if n%presenceTicks == 0 {
			c.announce(false, false)
		}
		if n%balanceTicks == 0 {
			c.yieldUnfit()
			c.balance()
		}
	}
}

// deliver waits until the server has read this replica's last announcement, that it
// leaves. Closing a connection with unread data resets it, so the server might lose
// the announcement, and the others would still count on this replica.
func (c *Candidate) deliver() {
	if c.nc.IsConnected() {
		c.nc.FlushTimeout(deliverTimeout) //nolint:errcheck // then it is as if this replica had died
	}
}

// noteLeaseRead records whether a lease could be read. While NATS is unavailable nobody can
// renew, and there may be no reconnection to show it, as when a server stood still. So
// the first read that succeeds again starts the quiet period, too.
func (c *Candidate) noteLeaseRead(answered bool) {
	if !answered {
		c.away.Store(true)
	} else if c.away.Swap(false) {
		c.peers.startQuiet()
	}
}

// startQuietAfterReconnect starts the quiet period if the connection to NATS was
// reconnected since the last call. Call it before deciding whether another replica lives.
func (c *Candidate) startQuietAfterReconnect() {
	if now := c.nc.Stats().Reconnects; c.reconnects.Swap(now) != now {
		c.peers.startQuiet()
	}
}

func (c *Candidate) watch(ctx context.Context) {
	c.bucket.Watch(ctx, record.LeasePrefix+">", func(key string, e kv.Entry) {
		if subscription := key[len(record.LeasePrefix):]; record.IsSubscription(subscription) {
			c.view.watched(subscription, e)
		}
	})
}

// Campaign leads a subscription whenever it can, until the context ends. Then it
// releases the lease and waits for lead to return. An error from lead ends the
// campaign, and Campaign returns it.
//
// lead is called once for each term. Its context ends when the term is over for
// good, with ErrLost or ErrReleased as the cause; lead should return soon then. It
// may return early, which releases the lease.
func (c *Candidate) Campaign(ctx context.Context, subscription string, lead func(context.Context, *Term) error) error {
	e := &elector{
		c: c, subscription: subscription, key: record.LeasePrefix + subscription, wake: c.view.join(subscription),
		release: make(chan string, 1), log: c.opt.Log.With().Str("subscription", subscription).Logger(),
	}
	c.mu.Lock()
	c.electors[subscription] = e
	c.mu.Unlock()
	return e.run(ctx, lead)
}

// StepDown releases all leases for other replicas to take. For a minute this one takes
// only those of dead holders and those that nobody else takes.
func (c *Candidate) StepDown() {
	c.mu.Lock()
	c.resting = time.Now().Add(stepDownRest)
	c.mu.Unlock()
	c.announce(false, true) // before releasing, so that others know that this replica rests
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.electors {
		e.yield(reasonNone)
	}
}

// Leave announces that this replica takes no more leases.
func (c *Candidate) Leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.announce(false, true)
}

// SetFitness sets how fit this replica is to lead, and announces changes.
func (c *Candidate) SetFitness(is record.Fitness) {
	c.mu.Lock()
	changed := c.fitness != is
	c.fitness = is
	c.mu.Unlock()
	if changed {
		c.announce(false, true)
		c.view.wakeAll("")
	}
}

// yieldUnfit, if this replica is unfit, gives away the leases that a fit one would take.
func (c *Candidate) yieldUnfit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fitness != record.Unfit {
		return
	}
	for _, e := range c.electors {
		if c.peers.fit(e.subscription) {
			e.yield(reasonNone)
		}
	}
}

// FitOther reports whether another replica that is known to be fit would lead a
// subscription.
func (c *Candidate) FitOther(subscription string) bool { return c.peers.fit(subscription) }

// Standbys is the number of other replicas that would take the lease of a subscription if
// it were free. Unfit ones do not count.
func (c *Candidate) Standbys(subscription string) int { return c.peers.count(subscription, false) }

// pace is the rate limit for taking a lease.
func (c *Candidate) pace(h holding) *rate.Limiter {
	if h.held || h.freed {
		return c.successions
	}
	return c.takes
}

func (c *Candidate) reluctance() (leaving, resting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving, c.fitness == record.Unfit || time.Now().Before(c.resting)
}

func (c *Candidate) renewAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.electors {
		if t := e.leading.Load(); t != nil {
			signal(t.renew)
		}
	}
}

// patience is how long this replica lets others go first for a free lease.
func (c *Candidate) patience(subscription string) time.Duration {
	_, resting := c.reluctance()
	switch {
	case c.peers.count(subscription, true) == 0:
		return 0
	case resting:
		return stepDownPause
	case c.led() >= c.fairShare(len(c.peers.sharing())):
		return courtesy + rand.N(courtesy/3)
	}
	return 0
}

func (c *Candidate) fairShare(others int) int {
	return (len(c.opt.Subscriptions) + others) / (others + 1)
}

func (c *Candidate) led() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.electors {
		if e.leading.Load() != nil {
			n++
		}
	}
	return n
}
