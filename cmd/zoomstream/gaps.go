package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

type gapsCmd struct {
	askSettings
	Since        since  `default:"7d" placeholder:"WHEN" help:"Gaps that ended since then: a duration before now such as 24h or 7d, or a time (RFC 3339). Default 7d."`
	Subscription string `placeholder:"ID" help:"Gaps of this subscription only."`
	JSON         bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's one-line description.
func (gapsCmd) Help() string {
	return `Exit code 0: the gaps are listed, whether there are any or not. 1: the stream cannot be read; --json prints {"error":"…"} then.
64: the command line is wrong, or nothing is known of the subscription that it names. 78: settings that cannot work.`
}

// since is a point in time, given as a time or as a duration before now.
type since struct{ time.Time }

// UnmarshalText turns an invalid value into a usage error.
func (s *since) UnmarshalText(text []byte) (err error) {
	s.Time, err = inspect.ParseSince(string(text), time.Now())
	return err
}

// Run lists the gaps, and what to read again from Zoom's API.
func (c *gapsCmd) Run(p *process) error {
	report, err := c.report(p)
	if err != nil {
		return failed(p, c.JSON, err)
	}
	if c.JSON {
		return writeJSON(p.stdout, report)
	}
	writeGaps(p.stdout, report)
	return nil
}

func (c *gapsCmd) report(p *process) (*inspect.GapReport, error) {
	cfg, js, err := c.connect(p, "gaps")
	if err != nil {
		return nil, err
	}
	defer js.Conn().Close()
	stream, err := inspect.Open(p.ctx, js, cfg.Stream, cfg.Prefix)
	if err != nil {
		return nil, err
	}
	return stream.GapReport(p.ctx, c.Since.Time, c.Subscription, cfg.Bucket)
}

// shownGaps bounds the gaps printed, the latest ones; --json has more.
const shownGaps = 200

func writeGaps(out io.Writer, r *inspect.GapReport) {
	of := ""
	if r.Subscription != "" {
		of = " of subscription " + zstatus.Visible(r.Subscription)
	}
	if r.Count == 0 {
		fmt.Fprintf(out, "No gaps%s since %s.%s\n", of, moment(r.Since), holds(r.Since, r.Holds))
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FROM\tTO\tLASTED\tCAUSE\tCERTAIN\tSUBSCRIPTION\tREPLICA")
	impossible := 0
	for _, g := range r.Gaps[max(0, r.Count-shownGaps):] {
		certain := yes(g.Certain)
		if g.Impossible {
			impossible++
			certain = "no (!)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s -> %s\n", moment(g.From), moment(g.To), lasted(g.Duration), zstatus.Visible(g.Cause), certain,
			zstatus.Visible(g.Subscription), zstatus.Visible(cmp.Or(g.PreviousReplica, "?")), zstatus.Visible(g.Replica))
	}
	table.Flush() //nolint:errcheck // as any other print
	if hidden := r.Count - shownGaps; hidden > 0 {
		fmt.Fprintf(out, "and %s before these: see --json\n", counted(hidden, "gap"))
	}
	if impossible > 0 {
		fmt.Fprintln(out, "(!) The marker's times are impossible; these come closest. Who else may publish in the stream?")
	}
	fmt.Fprintf(out, "%s%s since %s, %s in all.%s\n", counted(r.Count, "gap"), of, moment(r.Since), lasted(r.Total), holds(r.Since, r.Holds))
	if r.Older > 0 {
		fmt.Fprintf(out, "and %s before: ask for one subscription, or with a later --since\n", counted(r.Older, "gap"))
	}
	writeReread(out, r)
}

// holds returns a sentence if the stream does not reach back far enough.
func holds(since, oldest time.Time) string {
	if !oldest.After(since) {
		return ""
	}
	return fmt.Sprintf(" The stream does not reach back that far: its oldest message is from %s.", moment(oldest))
}

func writeReread(out io.Writer, r *inspect.GapReport) {
	if len(r.Families) == 0 {
		fmt.Fprintln(out, "\nWhat to read again is not known: the stream holds no events that would show what is subscribed to.")
		return
	}
	for _, d := range r.Reread {
		fmt.Fprintf(out, "\nTo read again from Zoom's API for %s (%s):\n", daysOf(d), counted(d.Gaps, "gap"))
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, q := range d.Requests {
			fmt.Fprintf(table, "  %s\t%s %s\t%s\n", zstatus.Visible(q.Family), q.Method, strings.TrimPrefix(q.URL, inspect.RESTBase), q.Lists+needs(q))
		}
		table.Flush() //nolint:errcheck // as any other print
		if len(d.Nothing) > 0 {
			fmt.Fprintf(out, "  nothing to re-read, no list known: %s\n", zstatus.Visible(strings.Join(d.Nothing, ", ")))
		}
	}
	if r.MoreFamilies > 0 {
		fmt.Fprintf(out, "  and %d families more that Zoom is not known to have\n", r.MoreFamilies)
	}
	fmt.Fprintf(out, "\nThe paths are below %s, with the scope that the token needs and the rate limit's label, as far as\n"+
		"they are known. Times are UTC, dates whole days; lists that go by when something began are asked for a day more.\n"+
		"The families are those of the events in the stream.\n", inspect.RESTBase)
	if len(r.Sharing) > 1 {
		fmt.Fprintf(out, "%d subscriptions share the stream; which of the families one of them gets is not known.\n", len(r.Sharing))
	}
}

// needs formats the scope and the label of a request, in brackets.
func needs(q inspect.Request) string {
	if q.Scope == "" && q.Label == "" {
		return ""
	}
	return " (" + strings.Trim(q.Scope+", "+string(q.Label), ", ") + ")"
}

func daysOf(d inspect.Reread) string {
	if d.From == d.To {
		return d.From
	}
	return d.From + " to " + d.To
}
