package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

type tailCmd struct {
	askSettings
	Since   *since         `placeholder:"WHEN" help:"Begin with what was stored since then: a duration before now such as 24h or 7d, or a time (RFC 3339). Default: all that the stream holds; with --follow only new messages."`
	Follow  bool           `short:"f" help:"Then print new messages as they arrive, until a signal."`
	Event   []string       `placeholder:"PATTERN" help:"Events of these names only; * stands for any text and ? for one character, as in 'recording.*'. Several are separated by commas."`
	Account string         `placeholder:"ID" help:"Events of this account only (payload.account_id)."`
	Object  string         `placeholder:"ID" help:"Events about this id or uuid only (payload.object.id, payload.object.uuid). Percent-encoding is undone."`
	Kind    []message.Kind `placeholder:"KIND" help:"Messages of these kinds only, separated by commas: event, gap, alarm, malformed. Default: all."`
	Headers bool           `help:"Print the headers, too."`
	Body    bool           `help:"Print the bodies, too, of each at most 4 KiB. They may hold passwords and download tokens."`
	JSON    bool           `name:"json" help:"Print a line of JSON for each message, with its headers and its whole body."`

	Anonymize bool `help:"With --json: print the events alone, without personal data and secrets, as data for tests. Ids, addresses, names and other texts are replaced, the same one by the same one within one run."`
}

// Help is shown below the command's one-line description.
func (tailCmd) Help() string {
	return `A line has the time at which the connector received the event, its name, the id of its object (else the uuid) and its topic, cut to
the terminal's width or 80 columns. Lines of the bridge's own messages begin with "--" behind the time: gaps, alarms, malformed frames.
They are printed whatever --event, --account and --object say, since they may be why an event is missing; --kind=event leaves them out.

If the connection to NATS is lost, it says so on standard error, and continues where it was once NATS is back.

Exit code 0: everything is printed, even if that is nothing; with --follow: a signal came. 1: the stream cannot be read; --json prints
{"error":"…"} then. 64: the command line is wrong. 78: settings that cannot work.`
}

// Validate turns an invalid flag into a usage error.
func (c *tailCmd) Validate(k *kong.Context) error {
	kinds := []message.Kind{message.KindEvent, message.KindGap, message.KindAlarm, message.KindMalformed}
	for _, kind := range c.Kind {
		if !slices.Contains(kinds, kind) {
			return fmt.Errorf("--kind=%s is none of event, gap, alarm, malformed", kind)
		}
	}
	if c.Event != nil && len(c.Event) == 0 || slices.Contains(c.Event, "") {
		return errors.New("--event has an empty pattern")
	}
	if c.JSON && (c.Body || c.Headers) {
		return errors.New("--json has the headers and the body: leave out --headers and --body")
	}
	if c.Anonymize && (!c.JSON || slices.ContainsFunc(c.Kind, func(kind message.Kind) bool { return kind != message.KindEvent })) {
		return errors.New("--anonymize needs --json, and prints events only: leave out --kind")
	}
	return c.Settings.Validate(k)
}

// Run prints messages of the stream.
func (c *tailCmd) Run(p *process) error {
	err := c.tail(p)
	if err != nil && c.JSON {
		return errors.Join(err, writeJSONLine(p.stdout, failure{err.Error()}))
	}
	return err
}

func (c *tailCmd) tail(p *process) error {
	cfg, js, err := c.connect(p, "tail")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	stream, err := inspect.Open(p.ctx, js, cfg.Stream, cfg.Prefix)
	if err != nil {
		return err
	}
	notice := func(text string) { fmt.Fprintf(p.stderr, "zoomstream: %s\n", zstatus.Visible(text)) }
	out := c.printer(p.stdout, cfg.Prefix, notice)
	printed := 0
	each := func(m *inspect.Message) error {
		printed++
		return out(m)
	}
	looked, err := stream.Tail(p.ctx, c.query(), each, notice)
	if err == nil && printed == 0 && !c.Follow {
		notice(fmt.Sprintf("nothing to print: %s looked at in stream %s%s", counted(int(looked), "message"), cfg.Stream, c.sinceText()))
	}
	return err
}

func (c *tailCmd) query() inspect.TailQuery {
	q := inspect.TailQuery{Follow: c.Follow, Events: c.Event, Account: c.Account, Object: c.Object, Kinds: c.Kind}
	if c.Anonymize {
		q.Kinds = []message.Kind{message.KindEvent}
	}
	if c.Since != nil {
		q.Since = c.Since.Time
	}
	return q
}

func (c *tailCmd) sinceText() string {
	if c.Since == nil {
		return ""
	}
	return ", stored since " + moment(c.Since.Time)
}
