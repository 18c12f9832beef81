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

// Values that frames carry besides the event and that a client must not disclose. They are easy to
// search for.
const (
	DefaultVerificationToken = "vToken-zoomsim-must-not-leak"
	DefaultClientID          = "cId-zoomsim-must-not-leak" // used if Options has no ClientID
)

// Options configure a simulator. The zero value is a Zoom that accepts any credentials and has no
// faults.
type Options struct {
	// ClientID, ClientSecret and AccountID are accepted by the token endpoint. An empty ClientID
	// accepts any client, an empty AccountID any account.
	ClientID, ClientSecret, AccountID string

	// SecretToken, if set, makes frames carry x-zm-signature: v0=hex(HMAC-SHA256(SecretToken,
	// "v0:<timestamp>:<content>")).
	SecretToken string

	// TokenLifetime is how long an access token is accepted for dials; 0 means an hour. The
	// response's expires_in is the same in whole seconds, at least 1.
	TokenLifetime time.Duration

	// CloseOnExpiry closes a live socket when its token expires. Whether Zoom does so was never
	// published.
	CloseOnExpiry bool

	// IdleTimeout is how long a socket may send no heartbeat before it is closed. 0 means 90 s
	// (Zoom's own samples beat every 55 s), negative means never.
	IdleTimeout time.Duration

	// Linger is how long a displaced socket stays open, without events, after the new one got its
	// build_connection.
	Linger time.Duration

	// DisplaceFrame sends "Connected in another place" in a frame before the close frame, instead
	// of in the close reason. Which of the two Zoom does was never published.
	DisplaceFrame bool

	// WriteTimeout is how long a client may take no bytes before its socket is ended; 0 means a
	// minute. Time during which the socket is frozen does not count.
	WriteTimeout time.Duration

	// LedgerCap bounds the entries and the sockets that the ledger keeps, dropping the oldest
	// first; 0 means a million. Counts are never lost.
	LedgerCap int

	// Log gets a line per socket and per action of the control API. The zero Logger is silent.
	Log zerolog.Logger
}

// Sim is a simulated Zoom. Its methods are safe for concurrent use.
type Sim struct {
	opt  Options
	mux  *http.ServeMux
	wg   sync.WaitGroup  // requests in progress, including those of sockets
	life context.Context // ends with Close
	end  context.CancelFunc
	seq  atomic.Int64 // last sim_seq given to a generated body

	mu      sync.Mutex // guards the following; never held across I/O
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
	current *socket // the newest ready socket, the only one that receives events
	pair    string  // tracking id that the same-tracking fault has to give the next event
	sum     Summary
}

// New returns a simulator. It starts no goroutine: serve its Handler.
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

// Handler serves POST /oauth/token, GET /ws and /control/. A socket lives as long as its request,
// so Close ends them all and waits for them.
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

// enter counts a request as in progress, unless the simulator is closed.
func (s *Sim) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.wg.Add(1)
	return true
}

// Close ends every socket and request and waits for them. Events emitted later find nobody. If an
// http.Server or httptest.Server serves the Handler, close the Sim first: the server would wait for
// requests that hang on purpose.
func (s *Sim) Close() {
	s.end()
	for _, k := range s.each("", func(k *socket) { k.retire(CauseStopped) }) {
		k.wire.Close()
	}
	s.wg.Wait()
}

// sub returns a subscription, and creates it if necessary. The caller holds s.mu.
func (s *Sim) sub(id string) *subscription {
	sub, ok := s.subs[id]
	if !ok {
		sub = &subscription{id: id}
		s.subs[id] = sub
	}
	return sub
}

// each calls do for the open sockets of a subscription, or for all if it is empty, while holding
// the lock, and returns them.
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

// notify wakes everybody who waits for a change. The caller holds s.mu.
func (s *Sim) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// notifyAfter calls notify after a duration.
func (s *Sim) notifyAfter(d time.Duration) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notify()
	})
}

// waitFor blocks until a condition holds, or ctx is done, whose cause it then returns. It checks
// the condition at every change, while holding s.mu.
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

// Wait blocks until the summary of a subscription (of all together if it is empty) satisfies until,
// or ctx is done, whose cause it then returns. until is called at every change, while the
// simulator's lock is held: it must be quick and must not call the simulator.
func (s *Sim) Wait(ctx context.Context, subscription string, until func(Summary) bool) error {
	return s.waitFor(ctx, func() bool { return until(s.summary(subscription)) })
}

// WaitReady waits until the subscription has a socket that receives events.
func (s *Sim) WaitReady(ctx context.Context, subscription string) error {
	return s.Wait(ctx, subscription, func(sum Summary) bool { return sum.Live > 0 })
}

// Drain waits until no emitted event of the subscription (of all if it is empty) is queued: each
// was written, found nobody, or was lost with its socket.
func (s *Sim) Drain(ctx context.Context, subscription string) error {
	return s.Wait(ctx, subscription, func(sum Summary) bool { return sum.Queued == 0 })
}

// sleep waits for a duration. If it was cut short, it returns why: ctx is done or the simulator was
// closed.
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
