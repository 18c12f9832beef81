package main

import (
	"fmt"
	"io"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/tools/doctor"
)

type doctorCmd struct {
	askSettings `embed:""`
	JSON        bool `name:"json" help:"Print JSON."`
	Connect     bool `name:"connect" help:"Connect to Zoom even if a replica may be connected, which would then lose its connection. Never if the lease is held."`
}

// Help is shown below the command's one-line description.
func (doctorCmd) Help() string {
	return `The connection to Zoom is tried only if, by the NATS of these settings, nobody can be connected: Zoom allows one connection,
and a new one closes the existing one. So it is not tried while a replica holds the lease, or may be cut off from NATS; nor if
the lease bucket, ZOOMSTREAM_BUCKET, does not exist but there are other traces of zoomstream. doctor cannot see replicas that
use another NATS than NATS_URL names here: their connection would be closed.

Exit code 0: nothing fails; there may be warnings. 78: something fails that a restart does not fix. 1: something else fails.`
}

// Run makes every check that it can, even if others fail. A failed check is an error, a warning is
// not.
func (c *doctorCmd) Run(p *process) error {
	o := doctor.Options{Connect: c.Connect}
	o.Config, o.Errors = config.Load(c.Settings, c.Config, p.environ)
	if o.Errors != nil { // NATS can be checked even without Zoom's settings
		o.Config, _ = config.LoadWithoutZoom(c.Settings, c.Config, p.environ)
	}
	if !c.JSON {
		o.Each = func(check doctor.Check) { printCheck(p.stdout, check) }
	}
	report := doctor.Run(p.ctx, o)
	if c.JSON {
		if err := writeJSON(p.stdout, report); err != nil {
			return err
		}
	} else if report.Err() == nil { // otherwise main prints it
		fmt.Fprintln(p.stdout, report.Summary())
	}
	return report.Err()
}

func printCheck(w io.Writer, c doctor.Check) {
	result, detail := string(c.Result), c.Detail
	if c.Result == doctor.Fail {
		result = "FAIL"
	}
	if c.Subscription != "" {
		detail = c.Subscription + ": " + detail
	}
	fmt.Fprintf(w, "%s  %-23s %s\n", result, c.Check, detail)
	if c.Fix != "" {
		fmt.Fprintf(w, "      fix: %s\n", c.Fix)
	}
}
