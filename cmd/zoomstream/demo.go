package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

type demoCmd struct {
	Duration time.Duration `help:"End after this long; 0 runs until Ctrl-C."`
	Rate     float64       `default:"2" help:"Events per second."`
	Script   bool          `default:"true" negatable:"" help:"Show a handover and a crash, unless a key was pressed."`
	Pause    time.Duration `default:"5s" hidden:"" help:"Time before each act of the script."`
}

const (
	demoSubscription = "demo-subscription"
	demoClient       = "demo-client"
	demoSecret       = "demo-secret"
	demoAccount      = "demo-account"
	// demoMemory is how many events the demo remembers to find lost ones.
	demoMemory = 100_000
)

// demo is shared by the parts of one demonstration.
type demo struct {
	*process
	log      zerolog.Logger // for warnings
	nats     *natsconn.Embedded
	js       jetstream.JetStream
	listener net.Listener // of the simulated Zoom
	sim      *zoomsim.Sim
	replicas []*replica
	stored   storedMessages
	faults   chan fault // whose outcome is to be reported

	mu   sync.Mutex
	acts []act // in the order of events
}

// Validate turns an invalid flag into a usage error.
func (c *demoCmd) Validate() error {
	if c.Rate <= 0 {
		return fmt.Errorf("--rate=%v is not above 0", c.Rate)
	}
	if c.Duration < 0 {
		return fmt.Errorf("--duration=%s is below 0", c.Duration)
	}
	return nil
}

// Run starts a simulated Zoom and NATS in this process, and the replicas as separate processes, and
// prints what is stored.
func (c *demoCmd) Run(p *process) error {
	ctx := p.ctx
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	dir, err := os.MkdirTemp("", "zoomstream-demo-")
	if err != nil {
		return fmt.Errorf("create a folder for the demo's data: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{process: p, faults: make(chan fault, 1), log: newLogger(p.stderr, "warn", "auto")}
	if err := d.startNATS(ctx, dir); err != nil {
		return err
	}
	defer d.nats.Shutdown()
	d.js, err = natsconn.Connect(ctx, d.nats.Inside(natsconn.Options{Name: "zoomstream demo: consumer", Log: d.log}))
	if err != nil {
		return fmt.Errorf("connect the demo's consumer: %w", err)
	}
	defer d.js.Conn().Close()
	if err := d.listen(); err != nil {
		return err
	}
	d.sim = zoomsim.New(zoomsim.Options{
		ClientID: demoClient, ClientSecret: demoSecret, AccountID: demoAccount, LedgerCap: demoMemory, Log: d.log,
	})
	d.replicas = d.newReplicas(dir)
	d.introduce(c)
	return d.play(ctx, c)
}

// startNATS uses the default port, or any other if that is taken.
func (d *demo) startNATS(ctx context.Context, dir string) (err error) {
	options := natsconn.EmbeddedOptions{
		DataDir: dir, Addr: loopback(d.ports.nats), Log: d.log, Readers: &natsconn.Readable{Prefix: "zoom", Stream: "ZOOM", Bucket: "zoomstream"},
	}
	d.nats, err = natsconn.StartEmbedded(ctx, options)
	if errors.Is(err, natsconn.ErrPortInUse) {
		fmt.Fprintf(d.stdout, "Port %d is taken; NATS uses another one.\n", d.ports.nats)
		options.Addr = loopback(0)
		d.nats, err = natsconn.StartEmbedded(ctx, options)
	}
	return err
}

// listen opens the simulator's port in the same way.
func (d *demo) listen() (err error) {
	d.listener, err = net.Listen("tcp", loopback(d.ports.zoom))
	if errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintf(d.stdout, "Port %d is taken; the simulated Zoom uses another one.\n", d.ports.zoom)
		d.listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("listen for the simulated Zoom: %w", err)
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (d *demo) introduce(c *demoCmd) {
	fmt.Fprintf(d.stdout, `
A simulated Zoom sends %g events a second over the one WebSocket that it
allows. Two replicas of zoomstream, each a process of its own, make sure that
there is always one: the one that leads stores each event in NATS JetStream
(stream ZOOM), the other stands by. Every line below is a stored event: when,
on which subject, how late, and its place in the stream.

Type a letter, then Enter:

    h   handover: the leader is told to step down, as in a rolling restart
    c   crash: the leader is killed (kill -9), and started again 2 s later
    q   end the demo, as does Ctrl-C

`, c.Rate)
	if c.Script {
		fmt.Fprintf(d.stdout, "Left alone, the demo shows a handover after %s, and then a crash.\n\n", c.Pause)
	}
	fmt.Fprintf(d.stdout, `Look at it in a browser (each replica has the whole picture):

    http://%s/    http://%s/

Watch along from another terminal:

    nats sub -s %s 'zoom.>'

Make Zoom misbehave (all faults: http://%s/control/):

    curl -X POST 'http://%s/control/cut'

`, d.replicas[0].page, d.replicas[1].page, d.nats.ClientURL(), d.listener.Addr(), d.listener.Addr())
}

// play runs everything until ctx ends. The parts stop in the order in which events flow, so that
// none is left in flight.
func (d *demo) play(ctx context.Context, c *demoCmd) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	parts, ctx := errgroup.WithContext(ctx)
	server := &http.Server{Handler: d.commented(guarded(d.sim, d.listener.Addr())), ReadHeaderTimeout: 10 * time.Second}
	parts.Go(func() error {
		if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the simulated Zoom: %w", err)
		}
		return nil
	})
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	parts.Go(func() error { // the consumer
		defer close(watched)
		return d.watch(watching)
	})
	for _, r := range d.replicas {
		r.launch(context.WithoutCancel(ctx), parts)
	}
	parts.Go(func() error {
		d.watchFaults(ctx)
		return nil
	})
	parts.Go(func() error { // the person at the keyboard
		d.direct(ctx, c, quit)
		return nil
	})
	parts.Go(func() error { // Zoom, and the shutdown of everything
		d.emit(ctx, c.Rate)
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		d.sim.Drain(drain, demoSubscription) //nolint:errcheck // the ledger tells
		d.stopReplicas()
		unwatch()
		<-watched
		d.conclude()
		d.sim.Close()
		return server.Close()
	})
	return parts.Wait()
}

// emit sends events from when a replica is connected until ctx ends.
func (d *demo) emit(ctx context.Context, rate float64) {
	if d.sim.WaitReady(ctx, demoSubscription) == nil {
		d.sim.Traffic(ctx, zoomsim.Traffic{Subscription: demoSubscription, Rate: rate}) //nolint:errcheck // ends with the context
	}
}
