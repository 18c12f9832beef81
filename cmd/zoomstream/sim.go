package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/guard"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

type simCmd struct {
	Listen        string          `default:"127.0.0.1:8481" placeholder:"HOST:PORT" help:"Where to serve; port 0 picks one. The control API has no authentication: stay on loopback."`
	ClientID      string          `default:"demo-client" help:"Client id that the token endpoint accepts."`
	ClientSecret  string          `default:"demo-secret" help:"Client secret that it accepts."`
	AccountID     string          `default:"demo-account" help:"Account id that it accepts."`
	SecretToken   string          `help:"Sign frames with this secret token."`
	Subscription  []string        `default:"demo" help:"Event subscription that gets the traffic; several separated by comma."`
	Rate          float64         `default:"1" help:"Events per second and subscription; 0 emits none by itself."`
	Mix           zoomsim.Mix     `placeholder:"NAME=WEIGHT,…" help:"Event names with weights; empty takes the sample bodies in turn."`
	Replay        string          `type:"existingfile" placeholder:"FILE" help:"Emit the events of a file once, at --rate (0: as fast as they are read), when a client is connected. Its lines are those of zoomstream tail --json, or bodies."`
	TokenLifetime time.Duration   `default:"1h" help:"Life of an access token."`
	CloseOnExpiry bool            `help:"Close a socket when its token expires."`
	IdleTimeout   time.Duration   `default:"90s" help:"Close a socket that has sent no heartbeat for this long."`
	Linger        time.Duration   `help:"How long a displaced socket stays open."`
	DisplaceFrame bool            `help:"Tell a displaced socket so in a frame, not in the close reason."`
	Duration      time.Duration   `help:"End after this long; 0 runs until a signal."`
	Fault         []zoomsim.Order `sep:"none" placeholder:"FAULT" help:"Fault as in the control API, at once or timed: 'late?by=2h', 'cut?after=30s', 'close?code=1001&every=1m'. May be given several times; GET /control/ lists them."`
}

// Validate turns an invalid flag into a usage error.
func (c *simCmd) Validate() error {
	if c.Rate < 0 {
		return fmt.Errorf("--rate=%v is below 0", c.Rate)
	}
	return nil
}

// Run serves the simulator until a signal comes.
func (c *simCmd) Run(p *process) error {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on --listen=%s (port 0 picks a free one): %w", c.Listen, err)
	}
	sim := zoomsim.New(zoomsim.Options{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, AccountID: c.AccountID, SecretToken: c.SecretToken,
		TokenLifetime: c.TokenLifetime, CloseOnExpiry: c.CloseOnExpiry, IdleTimeout: c.IdleTimeout,
		Linger: c.Linger, DisplaceFrame: c.DisplaceFrame, Log: p.log,
	})
	server := &http.Server{Handler: guarded(sim, listener.Addr()), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(p.log, "", 0)}
	if !guard.Loopback(listener.Addr()) {
		fmt.Fprintf(p.stderr, "zoomstream: warning: --listen=%s: other machines may reach the controls, which ask for no login\n", c.Listen)
	}
	c.printSettings(p.stdout, listener.Addr())

	ctx := p.ctx
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the simulator: %w", err)
		}
		return nil
	})
	work.Go(func() error { // the simulator first: the server would wait for requests that hang on purpose
		<-ctx.Done()
		sim.Close()
		return server.Close()
	})
	for _, order := range c.Fault {
		work.Go(func() error { return order.Run(ctx, sim) })
	}
	for _, id := range c.Subscription {
		work.Go(func() error { return c.emit(ctx, sim, id) })
	}
	err = work.Wait()
	printLedger(p.stdout, sim.Summary(""))
	return err
}

// guarded serves a simulator whose controls are out of reach for web pages.
func guarded(sim *zoomsim.Sim, at net.Addr) http.Handler {
	checks := []guard.Check{guard.NoPage}
	if guard.Loopback(at) {
		checks = append(checks, guard.ThisMachine)
	}
	mux := http.NewServeMux()
	mux.Handle("/", sim.Handler())
	mux.Handle("/control/", guard.Handler(sim.Handler(), checks...))
	return mux
}

// emit sends the events of one subscription. The end of ctx is no error.
func (c *simCmd) emit(ctx context.Context, sim *zoomsim.Sim, subscription string) error {
	var err error
	switch {
	case c.Replay != "":
		err = c.replay(ctx, sim, subscription)
	case c.Rate > 0:
		_, err = sim.Traffic(ctx, zoomsim.Traffic{Subscription: subscription, Rate: c.Rate, Bodies: c.Mix})
	}
	if ctx.Err() != nil || errors.Is(err, zoomsim.ErrClosed) {
		return nil
	}
	return err
}

func (c *simCmd) replay(ctx context.Context, sim *zoomsim.Sim, subscription string) error {
	file, err := os.Open(c.Replay)
	if err != nil {
		return fmt.Errorf("opening the file of --replay: %w", err)
	}
	defer file.Close()
	if err := sim.WaitReady(ctx, subscription); err != nil {
		return err
	}
	_, err = sim.Replay(ctx, subscription, file, c.Rate)
	return err
}

// printSettings prints the settings that a replica needs, ready for a shell.
func (c *simCmd) printSettings(w io.Writer, addr net.Addr) {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	var endpoints []string
	for _, id := range c.Subscription {
		endpoints = append(endpoints, "ws://"+host+"/ws?subscriptionId="+id)
	}
	fmt.Fprintf(w, "Simulated Zoom on http://%s; its controls: curl http://%s/control/\nFor a connector (zoomstream run):\n\n", host, host)
	for _, setting := range [][2]string{
		{"ZOOM_CLIENT_ID", c.ClientID},
		{"ZOOM_CLIENT_SECRET", c.ClientSecret},
		{"ZOOM_ACCOUNT_ID", c.AccountID},
		{"ZOOM_SECRET_TOKEN", c.SecretToken},
		{"ZOOM_OAUTH_URL", "http://" + host + "/oauth/token"},
		{"ZOOM_WEBSOCKET_URL", strings.Join(endpoints, " ")},
	} {
		if setting[1] != "" {
			fmt.Fprintf(w, "export %s='%s'\n", setting[0], strings.ReplaceAll(setting[1], "'", `'\''`))
		}
	}
	fmt.Fprintln(w)
}

// printLedger prints what happened to the events.
func printLedger(w io.Writer, sum zoomsim.Summary) {
	fmt.Fprintf(w, "Emitted %d: %d written, %d found nobody, %d lost with their socket. Sockets: %d, %d ready; heartbeats: %d.\n",
		sum.Emitted, sum.Written, sum.Nobody, sum.Lost, sum.Sockets, sum.Ready, sum.Heartbeats)
	var causes []string
	for _, cause := range slices.Sorted(maps.Keys(sum.Retired)) {
		causes = append(causes, fmt.Sprintf("%s %d", cause, sum.Retired[cause]))
	}
	fmt.Fprintln(w, "Ends of sockets:", cmp.Or(strings.Join(causes, ", "), "none"))
}
