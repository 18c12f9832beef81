package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// askSettings are the flags of the commands that query a running zoomstream.
type askSettings struct {
	Config string `name:"config" placeholder:"FILE" help:"YAML file with settings; keys are the flags' names with underscores."`
	config.Settings
}

// natsPatience is how long a command waits for NATS.
const natsPatience = 5 * time.Second

// connect loads the settings and connects to NATS. Zoom's settings may be missing.
func (c *askSettings) connect(p *process, command string) (*config.Config, jetstream.JetStream, error) {
	cfg, err := config.LoadWithoutZoom(c.Settings, c.Config, p.environ)
	if err != nil {
		return nil, nil, err
	}
	warnForeign(p, cfg)
	js, err := connectNATS(p, cfg, "zoomstream "+command)
	return cfg, js, err
}

// warnForeign warns a command that needs none of Zoom's settings about variables that may be
// mistakes, or another program's.
func warnForeign(p *process, cfg *config.Config) {
	for _, foreign := range cfg.Foreign() {
		fmt.Fprintf(p.stderr, "zoomstream: warning: %v (this command needs none of Zoom's settings and continues)\n", foreign)
	}
}

// connectNATS connects as a replica would. Without NATS settings, it connects to the embedded
// server of a replica in another process.
func connectNATS(p *process, cfg *config.Config, name string) (jetstream.JetStream, error) {
	options := natsOptions(cfg, name)
	ctx, cancel := context.WithTimeoutCause(p.ctx, natsPatience, fmt.Errorf("no connection within %s", natsPatience))
	defer cancel()
	js, err := natsconn.ConnectNow(ctx, options)
	if unreachable, ok := errors.AsType[*natsconn.Unreachable](err); ok {
		err = fmt.Errorf("%w; check: %s", err, unreachable.Advice)
		switch {
		case cfg.NATS.Embedded() && unreachable.Refused:
			err = fmt.Errorf("%w; the token of the embedded NATS server is in %s: may this user read it, and does it belong to the zoomstream that is running?", err, natsconn.URLFile(cfg.DataDir))
		case cfg.NATS.Embedded():
			err = fmt.Errorf("%w; does zoomstream run on this machine, and with its embedded NATS server? If not, set NATS_URL or NATS_CONTEXT as it has them", err)
		}
	}
	return js, err
}

func natsOptions(cfg *config.Config, name string) natsconn.Options {
	options := natsconn.Settings(cfg.NATS).Options()
	options.Name = name
	if cfg.NATS.Embedded() {
		options.URL, _ = natsconn.EmbeddedURL(cfg.DataDir, cfg.NATSAddr)
	}
	return options
}
