package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

type findCmd struct {
	askSettings
	What  string `arg:"" help:"Tracking id, message id (Nats-Msg-Id) or request id, or an event's name; or a string in the event's payload, such as a meeting's uuid, or its number (payload.object.id). Percent-encoding is undone."`
	Since since  `default:"24h" placeholder:"WHEN" help:"Look at what was stored since then: a duration before now such as 24h or 7d, or a time (RFC 3339). Default 24h."`
	Limit int    `default:"50" placeholder:"N" help:"Show at most this many messages, the oldest ones. Default 50."`
	Body  bool   `help:"Print the events' bodies, too. They may hold passwords and download tokens."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help is shown below the command's one-line description.
func (findCmd) Help() string {
	return `Exit code 0: something is found. 1: nothing is found, and the last line says why that may be; or the stream cannot be read;
--json prints {"error":"…"} then. 64: the command line is wrong. 78: settings that cannot work.`
}

// Validate turns an invalid flag into a usage error.
func (c *findCmd) Validate(k *kong.Context) error {
	if strings.TrimSpace(c.What) == "" {
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
	Waiting     *waiting     `json:"waiting,omitempty"` // if nothing was found
}

type foundMatch struct {
	inspect.Match
	Body     json.RawMessage `json:"body,omitempty"`      // with --body
	BodyText string          `json:"body_text,omitempty"` // used instead if it is not JSON
}

// repetitions are those found messages that replicas received again.
type repetitions struct {
	Known   bool                 `json:"known"` // at least one replica has answered
	Answers []inspect.SeenAnswer `json:"answers"`
}

// Run finds an event and shows its path.
func (c *findCmd) Run(p *process) error {
	f, err := c.find(p)
	if err != nil {
		return failed(p, c.JSON, err)
	}
	if c.JSON {
		if err := writeJSON(p.stdout, f); err != nil {
			return err
		}
	} else if f.Found() {
		c.write(p.stdout, f.Findings, f.Repetitions)
	}
	if !f.Found() {
		return notFound(f)
	}
	return nil
}

func (c *findCmd) find(p *process) (*found, error) {
	cfg, js, err := c.connect(p, "find")
	if err != nil {
		return nil, err
	}
	defer js.Conn().Close()
	stream, err := inspect.Open(p.ctx, js, cfg.Stream, cfg.Prefix)
	if err != nil {
		return nil, err
	}
	findings, err := stream.Find(p.ctx, inspect.Query{What: c.What, Since: c.Since.Time, Limit: c.Limit})
	if err != nil {
		return nil, err
	}
	f := &found{Findings: findings, Matches: c.matches(findings)}
	if f.Repetitions, err = askRepetitions(p, js, cfg, findings); err != nil {
		return nil, err
	}
	if f.Found() {
		return f, nil
	}
	f.Waiting = askWaiting(p.ctx, js, cfg.Bucket)
	return f, p.ctx.Err()
}

func askRepetitions(p *process, js jetstream.JetStream, cfg *config.Config, f *inspect.Findings) (repetitions, error) {
	var ids []string
	for _, m := range f.Matches {
		ids = append(ids, m.MessageID)
	}
	if len(ids) == 0 {
		return repetitions{Answers: []inspect.SeenAnswer{}}, nil
	}
	answers, err := inspect.AskSeen(p.ctx, js.Conn(), cfg.Bucket, ids)
	return repetitions{Known: len(answers) > 0, Answers: append([]inspect.SeenAnswer{}, answers...)}, err
}

func (c *findCmd) matches(f *inspect.Findings) []foundMatch {
	all := []foundMatch{}
	for _, m := range f.Matches {
		one := foundMatch{Match: m}
		if c.Body && json.Valid(m.Body) {
			one.Body = m.Body
		} else if c.Body {
			one.BodyText = string(m.Body)
		}
		all = append(all, one)
	}
	return all
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
			m.Sequence, moment(m.Stored), zstatus.Visible(m.Reason), zstatus.Visible(m.Code), zstatus.Visible(cmp.Or(m.TrackingID, "none")), f.Stream, m.Sequence)
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
