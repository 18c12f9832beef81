package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

type statusCmd struct {
	askSettings `embed:""`
	JSON        bool          `name:"json" help:"Print JSON; with --watch one line each time."`
	Watch       bool          `help:"Keep asking until a signal comes."`
	Interval    time.Duration `default:"1s" placeholder:"DURATION" help:"How often --watch asks. Default 1s."`
}

// Help is shown below the command's one-line description.
func (statusCmd) Help() string {
	return `Exit code 0: replicas answer, and each subscription has a leader that is connected. 1: otherwise, or NATS cannot be reached; what is known is printed all the same, with --json at least {"error":"…"}. So it serves as a check. With --watch the
exit code is 0. 64: the command line is wrong. 78: settings that cannot work. A subscription that only the bucket of the states
still knows, and no replica is set up for, is shown as unused and does not count.`
}

// Validate turns an invalid flag into a usage error.
func (c *statusCmd) Validate() error {
	if c.Interval <= 0 {
		return fmt.Errorf("--interval=%s is not above 0", c.Interval)
	}
	return nil
}

// Run prints what the replicas report.
func (c *statusCmd) Run(p *process) error {
	cfg, js, err := c.connect(p, "status")
	if err != nil {
		return failed(p, c.JSON, err)
	}
	defer js.Conn().Close()
	if c.Watch {
		return c.watch(p, js, cfg.Bucket)
	}
	text, err := c.ask(p, js, cfg.Bucket)
	if text == nil {
		return failed(p, c.JSON, err)
	}
	if _, err := p.stdout.Write(text); err != nil {
		return err
	}
	return err
}

// ask returns what is known, as text, and what is wrong, as an error.
func (c *statusCmd) ask(p *process, js jetstream.JetStream, bucket string) ([]byte, error) {
	overview, err := zstatus.Ask(p.ctx, js, zstatus.AskOptions{Bucket: bucket})
	if err != nil {
		return nil, err
	}
	if !c.JSON {
		var b bytes.Buffer
		err := overview.Table(&b, zstatus.Look{Width: columns(p.stdout), Paint: paintOf(p.stdout)})
		return b.Bytes(), errors.Join(err, overview.Verdict())
	}
	indent := "  "
	if c.Watch {
		indent = ""
	}
	text, err := overview.JSON(indent)
	return text, errors.Join(err, overview.Verdict())
}
