package simulation

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const (
	clientID     = "client-id-must-not-leak"
	clientSecret = "client-secret-must-not-leak"
	secretToken  = "secret-token-must-not-leak"

	stream   = "ZOOM"
	prefix   = "zoom"
	leaseTTL = 15 * time.Second

	heartbeat = 25 * time.Second // the default
)

// world is one run: Zoom, NATS, the replicas, and what happened to them.
type world struct {
	*plan
	dir     string
	start   time.Time
	begin   time.Time // when all were connected
	ending  time.Time // when the replicas are told to stop
	journal *journal
	sim     *zoomsim.Sim
	web     *pipenet.Server
	nats    natsHost
	slots   []*slot
	ran     []*replica // every replica that ever ran
	judged  map[string]int

	agenda    []action
	incidents []incident
	strangers sync.WaitGroup // what faults leave running

	inspect func(*evidence) // the scenario's look at the evidence; may be nil
}

// incident is something that happened, for the oracle.
type incident struct {
	fault
	span
	step    step
	replica string // empty: not about one replica
	sub     string // empty: not about one subscription
}

// natsHost is the nats-server's machine.
type natsHost struct {
	dir string
	mu  sync.Mutex
	up  *server.Server // nil while the server is down
}

func newWorld(p *plan, dir string) *world {
	return &world{plan: p, dir: dir, journal: &journal{}, judged: make(map[string]int)}
}

// run runs the whole simulation, and returns what is wrong.
func (w *world) run() []string {
	w.start = time.Now()
	w.journal.start = w.start
	w.nats.dir = w.dir
	if err := w.nats.boot(); err != nil {
		return []string{err.Error()}
	}
	w.sim = zoomsim.New(zoomsim.Options{
		ClientID: clientID, ClientSecret: clientSecret, SecretToken: secretToken,
		Linger: w.linger, DisplaceFrame: w.displaceFrame, TokenLifetime: w.tokenLifetime, CloseOnExpiry: w.closeOnExpiry,
	})
	w.web = pipenet.Serve(w.sim.Handler())
	for n := range w.replicas {
		w.slots = append(w.slots, &slot{n: n})
		w.launch(w.slots[n], false)
		time.Sleep(w.stagger)
	}
	problems := w.live()
	evidence, err := w.evidence()
	if err != nil {
		problems = append(problems, err.Error())
	}
	w.sim.Close()
	w.web.Close()
	for _, r := range w.ran {
		r.nats.Close()
		r.zoom.Close()
	}
	w.nats.halt()
	if err != nil {
		return problems
	}
	problems = append(problems, evidence.check()...)
	if w.inspect != nil {
		w.inspect(evidence)
	}
	return problems
}

// live lets traffic and faults happen, waits for everything to recover, and stops the replicas in
// an orderly way.
func (w *world) live() (problems []string) {
	if !w.settled(time.Minute) {
		problems = append(problems, "not every subscription was connected within a minute of the start")
	}
	traffic, stop := context.WithCancel(context.Background())
	var sources sync.WaitGroup
	for n := range w.subscriptions {
		sources.Go(func() { w.traffic(traffic, n) })
	}
	w.begin = time.Now()
	for _, s := range w.steps {
		w.after(s.at, func() { w.do(s) })
	}
	w.after(w.length, func() {})
	for at := 9 * time.Minute; w.watch != nil && at < w.length; at += 10 * time.Minute {
		w.after(at, w.watch)
	}
	w.act()
	w.strangers.Wait()
	w.journal.note("all faults are lifted")
	w.sim.Reset()
	if !w.settled(10 * time.Minute) {
		problems = append(problems, "not every subscription was connected within 10 minutes of the last fault")
	}
	time.Sleep(w.quiet)
	stop()
	sources.Wait()
	drain, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if w.sim.Drain(drain, "") != nil {
		problems = append(problems, "Zoom could not write its events within a minute of the end of the traffic")
	}
	time.Sleep(time.Second)
	w.journal.note("the end")
	w.ending = time.Now()
	for _, s := range w.slots {
		s.current.stop()
	}
	for _, r := range w.ran {
		<-r.done
	}
	return problems
}

// settled waits until every subscription is connected, and reports whether that took at most
// patience.
func (w *world) settled(patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := range w.subscriptions {
		if w.sim.WaitReady(ctx, subscription(n)) != nil {
			return false
		}
	}
	return true
}

func subscription(n int) string { return fmt.Sprintf("sub-%d", n+1) }

// leader returns the slot of the replica whose socket gets the subscription's events, or nil.
func (w *world) leader(sub string) *slot {
	for _, k := range w.sim.Ledger().Sockets {
		if k.Subscription != sub || k.Ready.IsZero() || !k.Retired.IsZero() {
			continue
		}
		for _, s := range w.slots {
			if s.current != nil && s.current.name == k.Remote {
				return s
			}
		}
	}
	return nil
}

func (h *natsHost) boot() error {
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: h.dir, DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("nats-server is not ready")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up = s
	return nil
}

// halt stops the server if it is up, and waits until its files are closed.
func (h *natsHost) halt() {
	h.mu.Lock()
	s := h.up
	h.up = nil
	h.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func (h *natsHost) running() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up != nil
}

func (h *natsHost) dial(context.Context) (net.Conn, error) {
	h.mu.Lock()
	s := h.up
	h.mu.Unlock()
	if s == nil {
		return nil, syscall.ECONNREFUSED
	}
	return s.InProcessConn()
}

// InProcessConn implements nats.InProcessConnProvider, for the oracle.
func (h *natsHost) InProcessConn() (net.Conn, error) { return h.dial(context.Background()) }
