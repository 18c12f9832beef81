package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/tools/forward"
)

type forwardCmd struct {
	askSettings
	To           string        `required:"" placeholder:"URL" help:"Endpoint to deliver to: https, or http on this machine."`
	InsecureHTTP bool          `name:"insecure-http" help:"Deliver over http to other machines, too. Anybody on the network path can read the events."`
	Name         string        `placeholder:"NAME" help:"Name of the delivery, 1 to 64 of A-Z a-z 0-9 _ -. Instances of one name share the work of one. Default: the endpoint's host and a digest of its URL."`
	Moved        bool          `help:"This endpoint replaces the one that the delivery had before."`
	Event        []string      `placeholder:"PATTERN" help:"Events of these names only; * stands for any text and ? for one character, as in 'recording.*'. Several are separated by commas."`
	Since        *since        `placeholder:"WHEN" help:"Where a new delivery begins: a duration before now such as 24h or 7d, or a time (RFC 3339). Default: with new events. One that has begun continues where it was."`
	Parallel     int           `default:"1" placeholder:"N" help:"Deliver this many events at a time, 1 to 64, in order for each object (payload.object.id, else uuid), else account. Default 1: all in order."`
	Attempts     int           `default:"15" placeholder:"N" help:"Give up on an event after this many attempts; it becomes a dead letter. Default 15, which takes about nine minutes."`
	Timeout      time.Duration `default:"10s" placeholder:"DURATION" help:"How long the endpoint may take to answer, 100ms to 5m. Default 10s."`
	Metrics      string        `placeholder:"HOST:PORT" help:"Serve metrics for Prometheus there, at /metrics. Default: nowhere."`
	Dead         bool          `help:"Send the dead letters of this delivery again, and exit."`
}

// Help is shown below the command's one-line description.
func (forwardCmd) Help() string {
	return `The endpoint gets each event as Zoom's webhook would send it: the exact body, Zoom's header names, a fresh time stamp, and a signature made with
ZOOMSTREAM_FORWARD_SECRET. Answers of 2xx are deliveries. After any other answer, a time-out or a connection that fails, it tries again after growing
pauses, and honours Retry-After. What is given up is stored in the stream of the dead letters (ZOOM_DEAD) before the next event goes out.
Each event is delivered at least once: after a crash some come again, with the same Nats-Msg-Id.

Exit code 0: a signal came, or with --dead: no dead letter is left. 1: restart me, or with --dead: some are left. 64: the command line is wrong.
78: settings that cannot work, or the name belongs to another delivery.

In NATS it needs the permissions of user forwarder in nats.conf.`
}

// Validate turns an invalid flag into a usage error.
func (c *forwardCmd) Validate(k *kong.Context) error {
	if c.To == "" {
		return errors.New("--to=URL is missing")
	}
	if _, err := c.endpoint(); err != nil {
		if _, elsewhere := config.ForwardURL(c.To, true); elsewhere == nil {
			err = fmt.Errorf("%w; use https://, or --insecure-http", err)
		}
		return fmt.Errorf("--to: %w", err)
	}
	if c.Name != "" {
		if err := forward.CheckName(c.Name); err != nil {
			return fmt.Errorf("--name: %w", err)
		}
	}
	switch {
	case c.Event != nil && len(c.Event) == 0 || slices.Contains(c.Event, ""):
		return errors.New("--event has an empty pattern")
	case c.Parallel < 1 || c.Parallel > 64:
		return fmt.Errorf("--parallel=%d is not 1 to 64", c.Parallel)
	case c.Attempts < 1:
		return fmt.Errorf("--attempts=%d is below 1", c.Attempts)
	case c.Timeout < 100*time.Millisecond || c.Timeout > 5*time.Minute:
		return fmt.Errorf("--timeout=%s is not 100ms to 5m", c.Timeout)
	}
	if c.Metrics != "" {
		if c.Dead {
			return errors.New("--metrics: nothing is served with --dead, which ends when the dead letters are sent; leave it out")
		}
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			return fmt.Errorf("--metrics=%s is no host and port; use for example 127.0.0.1:8481", c.Metrics)
		}
	}
	return c.Settings.Validate(k)
}

func (c *forwardCmd) endpoint() (*url.URL, error) { return config.ForwardURL(c.To, c.InsecureHTTP) }

var errNoForwardSecret = &config.Error{Setting: "ZOOMSTREAM_FORWARD_SECRET", Problem: "not set; it is the secret token that the endpoint checks signatures with"}

// Run delivers until a signal comes.
func (c *forwardCmd) Run(p *process) error {
	load := func() (*config.Config, error) {
		cfg, err := config.LoadWithoutZoom(c.Settings, c.Config, p.environ)
		if err == nil && cfg.ForwardSecret == "" {
			err = errNoForwardSecret
		}
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	warnForeign(p, cfg)
	log := newLogger(p.stderr, "trace", cfg.LogFormat)
	setLevel(cfg.LogLevel) // global, so that it can change for all loggers
	var secret atomic.Pointer[string]
	secret.Store(&cfg.ForwardSecret)
	options, err := c.options(cfg, log)
	if err != nil {
		return err
	}
	options.Secret = func() string { return *secret.Load() }
	if c.Dead {
		return c.resend(p, cfg, options)
	}
	if c.Metrics != "" {
		m, err := listenForMetrics(c.Metrics, log)
		if err != nil {
			return err
		}
		defer m.close()
		options.Metrics = m.registry
	}
	to := natsOptions(cfg, "zoomstream forward "+options.Name)
	to.Log = log
	js, err := natsconn.Connect(p.ctx, to)
	if err != nil {
		return endedBefore(p, err)
	}
	defer js.Conn().Close()
	if err := natsconn.AwaitJetStream(p.ctx, js, log); err != nil {
		return endedBefore(p, err)
	}
	ended := make(chan struct{})
	var reloading sync.WaitGroup
	hangUp := hangUps(p.ctx)
	reloading.Go(func() {
		reload(log, hangUp, ended, load, func(now *config.Config) {
			was := secret.Swap(&now.ForwardSecret)
			log.Info().Str("code", "config.reloaded").Bool("secrets_changed", *was != now.ForwardSecret).Msg("SIGHUP: the secret and the log level were read again")
		})
	})
	defer reloading.Wait()
	defer close(ended)
	return forward.Run(p.ctx, js, options)
}

// endedBefore drops an error if a signal ended the wait.
func endedBefore(p *process, err error) error {
	if p.ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *forwardCmd) options(cfg *config.Config, log zerolog.Logger) (forward.Options, error) {
	to, err := c.endpoint()
	o := forward.Options{
		Stream: cfg.Stream, Prefix: cfg.Prefix, Name: c.Name, Moved: c.Moved, To: to, UserAgent: "zoomstream/" + currentVersion().Version,
		Events: c.Event, Parallel: c.Parallel, Attempts: c.Attempts, Timeout: c.Timeout, DeadReplicas: cfg.StreamReplicas, Log: log,
	}
	if err == nil && c.Name == "" {
		o.Name = forward.NameOf(to)
	}
	if c.Since != nil {
		o.Since = c.Since.Time
	}
	return o, err
}

// resend sends the dead letters again.
func (c *forwardCmd) resend(p *process, cfg *config.Config, o forward.Options) error {
	js, err := connectNATS(p, cfg, "zoomstream forward --dead")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	sent, err := forward.ResendDead(p.ctx, js, o)
	if errors.Is(err, forward.ErrNoDeadStream) {
		fmt.Fprintf(p.stdout, "No dead letters: %s. forward creates it when it starts.\n", err)
		return nil
	}
	if err != nil && sent.Delivered == 0 { // then the number left is unknown
		return err
	}
	fmt.Fprintf(p.stdout, "%s of %s delivered, %d left.\n", counted(sent.Delivered, "dead letter"), o.Name, sent.Left)
	if sent.WithoutBody > 0 {
		fmt.Fprintf(p.stdout, "%s without a body cannot be sent again: Zoom-Reason says where the event is.\n", counted(sent.WithoutBody, "dead letter"))
	}
	if err == nil && sent.Left > 0 {
		err = errors.New("some dead letters are left")
	}
	return err
}
