package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	zstatus "github.com/zoomstream/zoomstream/internal/status"
)

type statusCmd struct {
	askSettings `embed:""`
	JSON        bool          `name:"json" help:"Print JSON; with --watch one line each time."`
	Watch       bool          `help:"Ask again and again until a signal comes."`
	Interval    time.Duration `default:"1s" placeholder:"DURATION" help:"How often --watch asks."`
}

// Help is shown below the command's one line.
func (statusCmd) Help() string {
	return `Exit code 0: replicas answer, and each subscription has a leader that is connected. 1: that is not so, or NATS cannot be
reached; what is known is printed all the same. So it serves as a check. With --watch the exit code is 0.

It needs the settings of NATS that the connector has, and ZOOMSTREAM_BUCKET; none of Zoom's.`
}

// Validate makes a bad flag a usage error.
func (c *statusCmd) Validate() error {
	if c.Interval <= 0 {
		return fmt.Errorf("--interval=%s is not above 0", c.Interval)
	}
	return nil
}

// Run prints what the replicas say.
func (c *statusCmd) Run(p *process) error {
	cfg, nc, err := c.connect(p, "status")
	if err != nil {
		return err
	}
	defer nc.Close()
	if c.Watch {
		return c.watch(p, nc, cfg.Bucket)
	}
	text, err := c.ask(p.ctx, nc, cfg.Bucket)
	if _, failed := p.stdout.Write(text); failed != nil {
		return failed
	}
	return err
}

// ask returns what is known, and what is wrong.
func (c *statusCmd) ask(ctx context.Context, nc *nats.Conn, bucket string) ([]byte, error) {
	overview, err := zstatus.Ask(ctx, nc, zstatus.AskOptions{Bucket: bucket})
	if err != nil {
		return nil, err
	}
	if !c.JSON {
		var b bytes.Buffer
		err := overview.Table(&b)
		return b.Bytes(), errors.Join(err, overview.Verdict())
	}
	indent := "  "
	if c.Watch {
		indent = ""
	}
	text, err := overview.JSON(indent)
	return text, errors.Join(err, overview.Verdict())
}

// The escape sequences that a terminal is repainted with: home, and clear from
// there to the end.
const repaint = "\x1b[H\x1b[J"

// watch prints until the context ends: over the last output on a terminal, else
// below it. Trouble is shown and does not end it.
func (c *statusCmd) watch(p *process, nc *nats.Conn, bucket string) error {
	again := time.NewTicker(c.Interval)
	defer again.Stop()
	for {
		text, err := c.ask(p.ctx, nc, bucket)
		if p.ctx.Err() != nil {
			return nil
		}
		if err := c.show(p, text, err); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-p.ctx.Done():
			return nil
		}
	}
}

func (c *statusCmd) show(p *process, text []byte, wrong error) error {
	var b bytes.Buffer
	switch {
	case c.JSON: // lines for a program; trouble goes elsewhere
		if text == nil {
			fmt.Fprintln(p.stderr, "zoomstream:", wrong)
		}
	case terminal(p.stdout):
		b.WriteString(repaint)
	default:
		fmt.Fprintf(&b, "--- %s\n", time.Now().UTC().Format(time.RFC3339))
	}
	b.Write(text)
	if text == nil && !c.JSON {
		fmt.Fprintf(&b, "%s  %v\n", time.Now().Format(time.DateTime), wrong)
	}
	_, err := io.Copy(p.stdout, &b)
	return err
}
