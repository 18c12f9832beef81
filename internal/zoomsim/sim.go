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

// What frames carry beside the event and a client must keep to itself: texts
// that are easy to search for where they must not turn up.
const (
	DefaultVerificationToken = "vToken-zoomsim-must-not-leak"
	DefaultClientID          = "cId-zoomsim-must-not-leak" // unless Options has a ClientID
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

	// LedgerCap bounds the entries that the ledger keeps, and the sockets, the
	// oldest go first; 0 means a million. Counts are never lost.
	LedgerCap int

	// Log receives a line per socket and per action of the control API. The zero
	// Logger is silent.
	Log zerolog.Logger
}

// Sim is a simulated Zoom. All methods may be called from any goroutine.
type Sim struct {
	opt  Options
	mux  *http.ServeMux
	wg   sync.WaitGroup  // requests in progress, each socket's among them
	life context.Context // until Close
	end  context.CancelFunc
	seq  atomic.Int64 // last sim_seq given to a generated body

	mu      sync.Mutex // guards what follows; never held across I/O
	subs    map[string]*subscription
	sockets map[int]*socket // open ones, by number
	faults  map[faultKey]*Fault
	tokens  map[string]time.Time // and when they expire
	ledger  ledger
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// subscription is one event subscription; guarded by Sim.mu.
type subscription struct {
	id      string
	current *socket // the newest ready socket, the only one that gets events
	pair    string  // tracking id that the same-tracking fault owes the next event
	sum     Summary
}

// New makes a simulator. It starts no goroutine: serve its Handler.
func New(opt Options) *Sim {
	opt.TokenLifetime = cmp.Or(opt.TokenLifetime, time.Hour)
	opt.IdleTimeout = cmp.Or(opt.IdleTimeout, 90*time.Second)
	opt.WriteTimeout = cmp.Or(opt.WriteTimeout, time.Minute)
	opt.LedgerCap = cmp.Or(opt.LedgerCap, 1_000_000)
	s := &Sim{
		opt:     opt,
		mux:     http.NewServeMux(),
		subs:    make(map[string]*subscription),
		sockets: make(map[int]*socket),
		faults:  make(map[faultKey]*Fault),
		tokens:  make(map[string]time.Time),
		ledger:  ledger{max: opt.LedgerCap},
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.mux.HandleFunc("POST /oauth/token", s.serveToken)
	s.mux.HandleFunc("GET /ws", s.serveWS)
	s.mux.HandleFunc("GET /control/{$}", s.serveActions)
	s.mux.HandleFunc("POST /control/{action}", s.serveAction)
	s.mux.HandleFunc("GET /control/samples", s.serveSamples)
	s.mux.HandleFunc("GET /control/samples/{event}", s.serveSample)
	s.mux.HandleFunc("GET /control/ledger", s.serveLedger)
	s.mux.HandleFunc("GET /control/ledger/summary", s.serveSummary)
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
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		s.mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// enter counts a request in, unless the simulator is closed.
func (s *Sim) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.wg.Add(1)
	return true
}

// Close ends every socket and request and waits for them. Events emitted later
// find nobody. Where an http.Server or httptest.Server serves the Handler,
// close the Sim first: the server would wait for requests that hang on purpose.
func (s *Sim) Close() {
	s.end()
	for _, k := range s.each("", func(k *socket) { k.retire(CauseStopped) }) {
		k.wire.Close()
	}
	s.wg.Wait()
}

// sub finds or makes a subscription; the caller holds s.mu.
func (s *Sim) sub(id string) *subscription {
	sub, ok := s.subs[id]
	if !ok {
		sub = &subscription{id: id}
		s.subs[id] = sub
	}
	return sub
}

// each does something to the open sockets of a subscription, or all if it is
// empty, under the lock, and returns them.
func (s *Sim) each(subscription string, do func(*socket)) []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*socket
	for _, k := range s.sockets {
		if subscription == "" || k.sub.id == subscription {
			do(k)
			found = append(found, k)
		}
	}
	s.notify()
	return found
}

// notify wakes who waits for a change; the caller holds s.mu.
func (s *Sim) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// notifyAfter wakes who waits for a time to be over.
func (s *Sim) notifyAfter(d time.Duration) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notify()
	})
}

// waitFor blocks until a condition holds, or the context is done, whose cause
// it then returns. It asks at every change, with s.mu held.
func (s *Sim) waitFor(ctx context.Context, holds func() bool) error {
	for {
		s.mu.Lock()
		if holds() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Wait blocks until the summary of a subscription (of all together, if it is
// empty) satisfies until, or the context is done, whose cause it then returns.
// until runs at every change, under the simulator's lock: it must be quick and
// must not call the simulator.
func (s *Sim) Wait(ctx context.Context, subscription string, until func(Summary) bool) error {
	return s.waitFor(ctx, func() bool { return until(s.summary(subscription)) })
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

// sleep waits for a duration. It says why, if it was shorter: the context is
// done or the simulator closed.
func (s *Sim) sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.life.Err() != nil {
		return ErrClosed
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.life.Done():
		return ErrClosed
	}
}
