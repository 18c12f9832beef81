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
	// Leases that nobody held when this replica came are taken at this pace,
	// so that replicas that start together share, and a lone one with hundreds
	// does not flood Zoom.
	takesPerSecond = 50
	takesAtOnce    = 10
	// Those of others who leave or die are taken at this one.
	successionsPerSecond = 500
	successionsAtOnce    = 50

	// After it was told to step down, a replica is no candidate for free
	// leases for so long, unless nobody else takes them within the pause.
	stepDownRest  = time.Minute
	stepDownPause = 3 * time.Second

	// One that has its fair share lets others go first by so long.
	courtesy = 300 * time.Millisecond

	// The server has so long to read that this replica leaves.
	deliverTimeout = time.Second
)

// Options of a Candidate.
type Options struct {
	Bucket        string        // name, part of the liveness subjects
	TTL           time.Duration // of a lease, whole seconds
	Replica       string        // name, for people
	Subscriptions []string      // that it would lead
	// Answer is this replica's answer to Ask. It must be quick.
	Answer func(question string) []byte
	// UnsafeFor is how long ago the oldest of what would be lost with this process came;
	// others learn it with each sign of life. It must be quick. nil: nothing ever would.
	UnsafeFor func() time.Duration
	// Epoch is the highest epoch that is known of a subscription elsewhere. It is asked
	// while a lease is taken, where the lease's own revisions do not prove that no epoch
	// was higher; may be nil.
	Epoch func(ctx context.Context, subscription string) uint64
	// Recorded is the epoch of the term that has recorded the state of a subscription
	// last; 0: none has. It is asked before an expired lease is taken back; may be nil.
	Recorded func(ctx context.Context, subscription string) (uint64, error)
	// Transition is told of each beginning and end of a leadership of this
	// replica, and why (see show.go for the reasons); may be nil.
	Transition func(subscription, reason string)
	// Tick is called a few times a second as long as Run's own loop runs; may be nil.
	Tick func()
	// Changed is told whenever another one holds a lease of the bucket than
	// before, or nobody. It must be quick; may be nil.
	Changed func(subscription string, now Holding)
	Log     zerolog.Logger
}

// Candidate is this process among the replicas. It is safe for concurrent use.
type Candidate struct {
	nc                 *nats.Conn
	bucket             *kv.Bucket
	opt                Options
	timing             timing
	nonce              string
	host               string
	view               *view
	peers              *peers
	takes, successions *rate.Limiter

	reconnects atomic.Uint64 // of the connection to NATS, when startQuietAfterReconnect last looked
	away       atomic.Bool   // the latest read of a lease had no answer: NATS is away, or was just now

	mu        sync.Mutex
	electors  map[string]*elector
	resting   time.Time // stepped down until then
	fitness   record.Fitness
	shedAgain time.Time // no lease is shed before
	leaving   bool
}

// New returns a Candidate. It does nothing before Run and Campaign.
func New(nc *nats.Conn, bucket *kv.Bucket, opt Options) *Candidate {
	host, _ := os.Hostname() // only for people
	return &Candidate{
		nc: nc, bucket: bucket, opt: opt, timing: timingOf(opt.TTL), nonce: nuid.Next(), host: host,
		view: newView(opt.Subscriptions, opt.Changed), peers: newPeers(opt.Subscriptions), takes: rate.NewLimiter(takesPerSecond, takesAtOnce),
		successions: rate.NewLimiter(successionsPerSecond, successionsAtOnce),
		electors:    make(map[string]*elector),
	}
}

// Nonce identifies this process among all replicas that ever were.
func (c *Candidate) Nonce() string { return c.nonce }

// Run watches the leases and the other replicas, and answers them, until the
// context ends. That should be after all that Campaign led is over: the
// successors ask.
func (c *Candidate) Run(ctx context.Context) error {
	leave, err := c.answer()
	if err != nil {
		return fmt.Errorf("liveness: %w", err)
	}
	defer leave()
	var owned sync.WaitGroup
	defer owned.Wait()
	defer c.deliver()
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

// deliver waits until the server has read what this replica has said last, that it
// leaves. Closing a connection in which something was not read yet resets it, and
// with that the server may lose it: the others would count on this replica still.
func (c *Candidate) deliver() {
	if c.nc.IsConnected() {
		c.nc.FlushTimeout(deliverTimeout) //nolint:errcheck // then it is as if this replica had died
	}
}

// noteLeaseRead notes whether a lease could be read. While NATS is away nobody renews, and
// that may come to light without a reconnection, as by a server that stood still: so
// its end gives every holder the quiet time, too.
func (c *Candidate) noteLeaseRead(answered bool) {
	if !answered {
		c.away.Store(true)
	} else if c.away.Swap(false) {
		c.peers.startQuiet()
	}
}

// startQuietAfterReconnect makes everybody count as alive for a while after a reconnection. Whoever
// is about to judge another replica calls it first.
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
// releases the lease and waits for the leader's function. It returns that
// function's first error, which ends the campaign.
//
// lead is called for each term. Its context ends, with ErrLost or ErrReleased
// as the cause, when the term is over for good; it should then return soon. It
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

// StepDown releases every lease for other replicas to take. For a while this one
// takes none but those of dead holders and those that nobody else takes.
func (c *Candidate) StepDown() {
	c.mu.Lock()
	c.resting = time.Now().Add(stepDownRest)
	c.mu.Unlock()
	c.announce(false, true) // first: another one that rests is the only one to take them now
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.electors {
		e.yield(reasonNone)
	}
}

// Leave tells the others that this replica takes no more leases.
func (c *Candidate) Leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.announce(false, true)
}

// SetFitness tells the others how this replica fares.
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

// yieldUnfit gives away what a fit replica would lead, if this one is unfit.
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

// FitOther reports whether another replica would lead a subscription and is known to be
// fit.
func (c *Candidate) FitOther(subscription string) bool { return c.peers.fit(subscription) }

// Standbys is the number of other replicas that would take the lease of a subscription if
// it were free. Unfit ones do not count.
func (c *Candidate) Standbys(subscription string) int { return c.peers.count(subscription, false) }

// pace bounds the taking of a lease.
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

// patience is how long this replica lets others go first.
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
