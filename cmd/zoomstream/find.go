package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/inspect"
)

type findCmd struct {
	askSettings
	What  string `arg:"" help:"Tracking id, message id (Nats-Msg-Id) or request id; or a string in the event's payload, such as a meeting's uuid, or its number (payload.object.id). Percent-encoding is undone."`
	Since since  `default:"24h" placeholder:"WHEN" help:"Look at what was stored since then: a duration before now such as 24h or 7d, or a time (RFC 3339)."`
	Limit int    `default:"50" placeholder:"N" help:"Show at most so many messages, the oldest."`
	Body  bool   `help:"Print the events' bodies, too. They may hold passwords and download tokens."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Validate makes a bad flag a usage error.
func (c *findCmd) Validate(k *kong.Context) error {
	if c.What == "" {
		return errors.New("nothing to find")
	}
	if c.Limit < 1 {
		return fmt.Errorf("--limit=%d is below 1", c.Limit)
	}
	return c.Settings.Validate(k)
}

// found is what find prints as JSON.
type found struct {
	*inspect.Findings
	Matches     []foundMatch `json:"matches"`
	Repetitions repetitions  `json:"repetitions"`
}

type foundMatch struct {
	inspect.Match
	Body     json.RawMessage `json:"body,omitempty"`      // with --body
	BodyText string          `json:"body_text,omitempty"` // instead, if it is no JSON
}

// repetitions are the messages among those found that replicas received again.
type repetitions struct {
	Known   bool                 `json:"known"` // at least one replica has answered
	Answers []inspect.SeenAnswer `json:"answers"`
}

// Run finds an event and tells its way.
func (c *findCmd) Run(p *process) error {
	cfg, nc, err := c.connect(p, "find")
	if err != nil {
		return err
	}
	defer nc.Close()
	stream, err := inspect.Open(p.ctx, nc, cfg.Stream, cfg.Prefix)
	if err != nil {
		return err
	}
	findings, err := stream.Find(p.ctx, inspect.Query{What: c.What, Since: c.Since.Time, Limit: c.Limit})
	if err != nil {
		return err
	}
	again, err := askRepetitions(p, nc, cfg, findings)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := writeJSON(p.stdout, c.asJSON(findings, again)); err != nil {
			return err
		}
	} else if findings.Found() {
		c.write(p.stdout, findings, again)
	}
	if !findings.Found() {
		return notFound(findings)
	}
	return nil
}

func askRepetitions(p *process, nc *nats.Conn, cfg *config.Config, f *inspect.Findings) (repetitions, error) {
	var ids []string
	for _, m := range f.Matches {
		ids = append(ids, m.MessageID)
	}
	if len(ids) == 0 {
		return repetitions{Answers: []inspect.SeenAnswer{}}, nil
	}
	answers, err := inspect.AskSeen(p.ctx, nc, cfg.Bucket, ids)
	return repetitions{Known: len(answers) > 0, Answers: append([]inspect.SeenAnswer{}, answers...)}, err
}

func (c *findCmd) asJSON(f *inspect.Findings, again repetitions) found {
	all := found{Findings: f, Matches: []foundMatch{}, Repetitions: again}
	for _, m := range f.Matches {
		one := foundMatch{Match: m}
		if c.Body && json.Valid(m.Body) {
			one.Body = m.Body
		} else if c.Body {
			one.BodyText = string(m.Body)
		}
		all.Matches = append(all.Matches, one)
	}
	return all
}

// notFound says in one line what was done, and what to look at next.
func notFound(f *inspect.Findings) error {
	const shown = 3
	gaps := "no gap in that time: Zoom has not sent it, or it is older"
	if n := len(f.Gaps); n > 0 {
		var list []string
		for _, g := range f.Gaps[max(0, n-shown):] {
			list = append(list, fmt.Sprintf("%s for %s", moment(g.From), lasted(g.Duration)))
		}
		gaps = fmt.Sprintf("%s in that time, in which it may be lost (%s%s), see zoomstream gaps",
			counted(n, "gap"), map[bool]string{true: "the last ones: "}[n > shown], strings.Join(list, ", "))
	}
	return fmt.Errorf("%s is not found: %s looked at in stream %s, stored since %s%s; %s",
		quoted(f.Searched), counted(int(f.Looked), "message"), f.Stream, moment(f.Since), strings.TrimSuffix(holds(f.Since, f.Holds), "."), gaps)
}

func (c *findCmd) write(out io.Writer, f *inspect.Findings, again repetitions) {
	for _, m := range f.Matches {
		writeMatch(out, m, f, again)
		if c.Body {
			fmt.Fprintf(out, "  body:\n%s\n", indented(m.Body))
		}
		fmt.Fprintln(out)
	}
	for _, m := range f.Malformed {
		fmt.Fprintf(out, "A malformed frame with it, #%d, stored at %s: %s (%s), tracking id %s. See nats stream get %s %d.\n",
			m.Sequence, moment(m.Stored), visible(m.Reason), visible(m.Code), visible(cmp.Or(m.TrackingID, "none")), f.Stream, m.Sequence)
	}
	if len(f.Malformed) == 0 {
		fmt.Fprintln(out, "No malformed frame with it.")
	}
	more := ""
	if f.More {
		more = " There may be more: see --limit."
	}
	fmt.Fprintf(out, "%s found; %s looked at, stored since %s.%s\n", counted(len(f.Matches), "message"), counted(int(f.Looked), "message"), moment(f.Since), more)
}
