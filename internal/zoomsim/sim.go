package zoomsim

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Defaults of the zero Options.
const (
	DefaultTokenLifetime     = time.Hour
	DefaultIdleTimeout       = 90 * time.Second
	DefaultWriteTimeout      = time.Minute
	DefaultQueueBytes        = 64 << 20
	DefaultLedgerCap         = 1_000_000
	DefaultVerificationToken = "vToken-zoomsim-must-not-leak"
	DefaultClientID          = "cId-zoomsim-must-not-leak"
)

// Options configure a simulator. The zero value is a Zoom that accepts any
// credentials and behaves well.
type Options struct {
	// ClientID, ClientSecret and AccountID are what the token endpoint accepts.
	// An empty ClientID accepts any client, an empty AccountID any account.
	ClientID, ClientSecret, AccountID string

	// SecretToken, when set, makes frames carry x-zm-signature:
	// v0=hex(HMAC-SHA256(SecretToken, "v0:<timestamp>:<content>")).
	SecretToken string

	// VerificationToken is the legacy token that frames carry as Authorization.
	// Empty: DefaultVerificationToken, a text that is easy to search for where
	// it must not turn up.
	VerificationToken string

	// TokenLifetime is how long an access token opens sockets; 0 means an hour.
	// The answer's expires_in is this in whole seconds, at least 1.
	TokenLifetime time.Duration

	// CloseOnExpiry closes a live socket when its token expires. Whether Zoom
	// does so was never published.
	CloseOnExpiry bool

	// IdleTimeout closes a socket that sent no heartbeat for so long. 0 means
	// 90 s (Zoom's own samples beat every 55 s), negative means never.
	IdleTimeout time.Duration

	// Linger is how long a displaced socket stays open, without events, after
	// the new one got its build_connection.
	Linger time.Duration

	// DisplaceFrame says "Connected in another place" in a frame before the
	// close frame, instead of in the close reason. Which of the two Zoom does
	// was never published.
	DisplaceFrame bool

	// WriteTimeout ends a socket whose client takes no bytes for so long; 0
	// means a minute. Time during which the socket is frozen does not count.
	WriteTimeout time.Duration

	// QueueBytes bounds what waits for a slow or frozen socket; 0 means 64 MiB.
	// A socket whose queue is full is closed once what it holds is written.
	QueueBytes int

	// LedgerCap bounds the entries that the ledger keeps, the oldest go first;
	// 0 means a million. Counts are never lost. It bounds sockets too.
	LedgerCap int

	// Log receives a line per socket and fault. The zero Logger is silent.
	Log zerolog.Logger
}

func (o Options) withDefaults() Options {
	o.TokenLifetime = cmp.Or(o.TokenLifetime, DefaultTokenLifetime)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, DefaultWriteTimeout)
	o.QueueBytes = cmp.Or(o.QueueBytes, DefaultQueueBytes)
	o.LedgerCap = cmp.Or(o.LedgerCap, DefaultLedgerCap)
	o.VerificationToken = cmp.Or(o.VerificationToken, DefaultVerificationToken)
	return o
}

// Sim is a simulated Zoom. All methods may be called from any goroutine.
type Sim struct {
	opt  Options
	mux  *http.ServeMux
	done chan struct{}  // closed by Close
	wg   sync.WaitGroup // requests in progress, each socket's among them
	seq  atomic.Int64   // last sim_seq given to a generated body

	mu      sync.Mutex // guards what follows; never held across I/O
	closed  bool
	subs    map[string]*subscription
	sockets map[int]*socket // open ones, by number
	faults  faultSet        // those that stand for every subscription
	tokens  map[string]time.Time
	ledger  ledger
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// subscription is one event subscription; guarded by Sim.mu.
type subscription struct {
	id      string
	current *socket // the newest ready socket, the only one that gets events
	faults  faultSet
	pair    string // tracking id that the same-tracking fault owes the next event
	sum     Summary
}

// New makes a simulator. It starts no goroutine: serve its Handler.
func New(opt Options) *Sim {
	s := &Sim{
		opt:     opt.withDefaults(),
		done:    make(chan struct{}),
		subs:    make(map[string]*subscription),
		sockets: make(map[int]*socket),
		faults:  make(faultSet),
		tokens:  make(map[string]time.Time),
	}
	s.ledger.max = s.opt.LedgerCap
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("POST /oauth/token", s.serveToken)
	s.mux.HandleFunc("GET /ws", s.serveWS)
	s.routeControl(s.mux)
	return s
}

// Handler serves POST /oauth/token, GET /ws and /control/. A socket lives as
// long as its request, so Close ends and awaits them all.
func (s *Sim) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			http.Error(w, "the simulator is closed", http.StatusServiceUnavailable)
			return
		}
		defer s.wg.Done()
		s.mux.ServeHTTP(w, r)
	})
}

// enter counts a request in, unless the simulator is closed.
func (s *Sim) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

// Close ends every socket and request and waits for them. Events emitted later
// find nobody. Where an http.Server or httptest.Server serves the Handler,
// close the Sim first: the server would wait for requests that hang on purpose.
func (s *Sim) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	var open []*socket
	for _, k := range s.sockets {
		k.retire(CauseStopped)
		open = append(open, k)
	}
	s.notify()
	s.mu.Unlock()
	for _, k := range open {
		k.wire.Close()
	}
	s.wg.Wait()
}

// sub finds or makes a subscription; the caller holds s.mu.
func (s *Sim) sub(id string) *subscription {
	sub, ok := s.subs[id]
	if !ok {
		sub = &subscription{id: id, faults: make(faultSet)}
		s.subs[id] = sub
	}
	return sub
}

// open lists the open sockets of a subscription, or all if it is empty; the
// caller holds s.mu.
func (s *Sim) open(subscription string) []*socket {
	var found []*socket
	for _, k := range s.sockets {
		if subscription == "" || k.sub.id == subscription {
			found = append(found, k)
		}
	}
	return found
}

// onChange is closed at the next notify; the caller holds s.mu.
func (s *Sim) onChange() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// notify wakes those in Wait; the caller holds s.mu.
func (s *Sim) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Wait blocks until the summary of a subscription (of all together, if it is
// empty) satisfies until, or the context is done, whose cause it then returns.
// until runs at every change, under the simulator's lock: it must be quick and
// must not call the simulator.
func (s *Sim) Wait(ctx context.Context, subscription string, until func(Summary) bool) error {
	for {
		s.mu.Lock()
		if until(s.summary(subscription)) {
			s.mu.Unlock()
			return nil
		}
		changed := s.onChange()
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// WaitReady waits until events of the subscription find a socket.
func (s *Sim) WaitReady(ctx context.Context, subscription string) error {
	return s.Wait(ctx, subscription, func(sum Summary) bool { return sum.Live > 0 })
}

// Drain waits until no emitted event of the subscription (of all, if it is
// empty) waits to be written: each was written, or found nobody, or was lost
// with its socket.
func (s *Sim) Drain(ctx context.Context, subscription string) error {
	return s.Wait(ctx, subscription, func(sum Summary) bool { return sum.Queued == 0 })
}
