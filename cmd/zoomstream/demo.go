package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/app"
	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

type demoCmd struct {
	Duration time.Duration `help:"End after so long; 0 runs until Ctrl-C."`
	Rate     float64       `default:"2" help:"Events per second."`
}

const (
	demoSubscription = "demo-subscription"
	demoClient       = "demo-client"
	demoSecret       = "demo-secret"
	demoAccount      = "demo-account"
)

// Validate makes a bad flag a usage error.
func (c *demoCmd) Validate() error {
	if c.Rate <= 0 {
		return fmt.Errorf("--rate=%v is not above 0", c.Rate)
	}
	if c.Duration < 0 {
		return fmt.Errorf("--duration=%s is below 0", c.Duration)
	}
	return nil
}

// Run starts a simulated Zoom, NATS and a connector in one process, and prints
// what is stored.
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
	d := &demo{process: p, log: newLogger(p.stderr, "warn", "auto")}
	if err := d.startNATS(ctx, dir); err != nil {
		return err
	}
	defer d.nats.Shutdown()
	if err := d.listen(); err != nil {
		return err
	}
	d.introduce(c.Rate)
	return d.play(ctx, c.Rate, dir)
}

// startNATS takes the default port, or any if that is taken.
func (d *demo) startNATS(ctx context.Context, dir string) (err error) {
	options := natsconn.EmbeddedOptions{DataDir: dir, Log: d.log}
	d.nats, err = natsconn.StartEmbedded(ctx, options)
	if errors.Is(err, natsconn.ErrPortInUse) {
		fmt.Fprintln(d.stdout, "Port 4222 is taken; NATS uses another one.")
		options.Port = -1
		d.nats, err = natsconn.StartEmbedded(ctx, options)
	}
	return err
}

// listen does the same for the simulator.
func (d *demo) listen() (err error) {
	d.listener, err = net.Listen("tcp", "127.0.0.1:8481")
	if errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintln(d.stdout, "Port 8481 is taken; the simulated Zoom uses another one.")
		d.listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("listen for the simulated Zoom: %w", err)
	}
	return nil
}

func (d *demo) introduce(rate float64) {
	fmt.Fprintf(d.stdout, `
A simulated Zoom sends %g events a second over its WebSocket; zoomstream stores
each one in NATS JetStream (stream ZOOM). Every line below is a stored event.

Watch along from another terminal:

    nats sub -s %s 'zoom.>'

Make Zoom misbehave (all faults: http://%s/control/):

    curl -X POST 'http://%s/control/cut'

Ctrl-C ends the demo.

`, rate, d.nats.ClientURL(), d.listener.Addr(), d.listener.Addr())
}

// play runs everything until the context ends. The parts end in the order in
// which events flow, so that nothing on the way is left behind.
func (d *demo) play(ctx context.Context, rate float64, dir string) error {
	cfg, err := config.Load(d.settings(dir), "", nil)
	if err != nil {
		return fmt.Errorf("the demo's own settings: %w", err)
	}
	sim := zoomsim.New(zoomsim.Options{ClientID: demoClient, ClientSecret: demoSecret, AccountID: demoAccount, Log: d.log})
	server := &http.Server{Handler: sim.Handler(), ReadHeaderTimeout: 10 * time.Second}

	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the simulated Zoom: %w", err)
		}
		return nil
	})
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	connecting, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	watched, connected := make(chan struct{}), make(chan struct{})
	parts.Go(func() error { // the consumer
		defer close(watched)
		return d.watch(watching, cfg)
	})
	parts.Go(func() error { // the connector
		defer close(connected)
		return app.Run(connecting, app.Options{Config: cfg, Version: currentVersion().Version, Log: d.log})
	})
	parts.Go(func() error { // Zoom, and the end of all
		emit(ctx, sim, rate)
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		sim.Drain(drain, demoSubscription) //nolint:errcheck // the ledger tells
		disconnect()
		<-connected
		unwatch()
		<-watched
		d.conclude(sim.Summary(demoSubscription))
		sim.Close()
		return server.Close()
	})
	return parts.Wait()
}

// emit sends events from when the connector is ready until the context ends.
func emit(ctx context.Context, sim *zoomsim.Sim, rate float64) {
	if sim.WaitReady(ctx, demoSubscription) == nil {
		sim.Traffic(ctx, zoomsim.Traffic{Subscription: demoSubscription, Rate: rate}) //nolint:errcheck // ends with the context
	}
}

func (d *demo) settings(dir string) config.Settings {
	address := d.listener.Addr().String()
	return config.Settings{
		ZoomClientID: demoClient, ZoomClientSecret: demoSecret, ZoomAccountID: demoAccount,
		ZoomOAuthURL:     "http://" + address + "/oauth/token",
		ZoomWebSocketURL: "ws://" + address + "/ws?subscriptionId=" + demoSubscription,
		NATSURL:          d.nats.ClientURL(), DataDir: dir, HTTPAddr: "off",
	}
}

func (d *demo) conclude(sum zoomsim.Summary) {
	fmt.Fprintf(d.stdout, "\nZoom sent %d events; %d reached the connector, %d found no connection; %d are stored.\n",
		sum.Emitted, sum.Written, sum.Nobody+sum.Lost, d.stored)
}
