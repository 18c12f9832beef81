// Package doctor checks, one thing after the other, what zoomstream needs:
// configuration, disk, Zoom's token, NATS with its permissions, the stream and
// the buckets, and the connection of each subscription up to the first heartbeat.
//
// It changes nothing, but for the lease of a subscription that nobody holds: it
// takes that for the moment in which it is connected itself, since Zoom closes the
// connection of whoever was connected before. Where the NATS that it is told to ask
// knows of a replica that is connected, or might be, it does not connect. On a NATS
// without leases it connects only if nothing there speaks of zoomstream. A connection
// of replicas that use another NATS cannot be noticed, and would be closed.
//
// A right to publish is tested by messages that the server traces and delivers to
// nobody (Nats-Trace-Only, https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-41.md).
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/zoomstream/zoomstream/internal/config"
)

// Code names a check. The names are stable.
type Code string

// The checks.
const (
	Configuration Code = "config"
	AlarmWebhook  Code = "alarms.webhook" // only with one

	DataFolder    Code = "disk.data"     // writable; of the embedded NATS server
	SpoolFolder   Code = "disk.spool"    // writable
	SpoolSpace    Code = "disk.space"    // for a full spool
	SpoolLeftOver Code = "disk.leftover" // messages that wait in the spool

	Token  Code = "token.grant"
	Scopes Code = "token.scopes"
	Clock  Code = "token.clock" // this machine's against Zoom's

	Server      Code = "nats.server"
	Permissions Code = "nats.permissions"
	JetStream   Code = "nats.jetstream"

	Stream        Code = "stream.settings" // also that it exists, or can be created
	StreamState   Code = "stream.state"
	StreamFilters Code = "stream.filters" // of consumers that leave out the keys in the subjects; only with such
	LeaseBucket   Code = "bucket.leases"
	StateBucket   Code = "bucket.states"
	OtherLeases   Code = "bucket.others"   // leases of subscriptions that are not in this configuration
	Alarms        Code = "replicas.alarms" // that running replicas have raised
	Endpoint      Code = "subscription.url"
	Lease         Code = "subscription.lease"
	Connection    Code = "subscription.connection"
	Heartbeat     Code = "subscription.heartbeat"
	EventsMissed  Code = "subscription.events" // that came meanwhile and are not stored
)

// Result of a check, or of all.
type Result string

// The results, from good to bad. What is skipped is neither.
const (
	Skip Result = "skip"
	Pass Result = "pass"
	Warn Result = "warn"
	Fail Result = "fail"
)

// Check is one thing that was looked at.
type Check struct {
	Check        Code   `json:"check"`
	Subscription string `json:"subscription,omitempty"`
	Result       Result `json:"result"`
	Detail       string `json:"detail"`
	Fix          string `json:"fix,omitempty"`

	final bool // it failed for what stays so until somebody changes a setting or a right
}

// Report is all of them.
type Report struct {
	Result Result  `json:"result"`
	Checks []Check `json:"checks"`
}

// Summary is the whole in a line.
func (r Report) Summary() string {
	count := make(map[Result]int)
	for _, c := range r.Checks {
		count[c.Result]++
	}
	text := fmt.Sprintf("%d passed", count[Pass])
	for _, more := range []struct {
		result Result
		text   string
	}{{Warn, "with a warning"}, {Fail, "failed"}, {Skip, "skipped"}} {
		if n := count[more.result]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, more.text)
		}
	}
	return "doctor: " + string(r.Result) + " (checks: " + text + ")"
}

// Err is a *Failed if any check failed.
func (r Report) Err() error {
	if r.Result != Fail {
		return nil
	}
	e := &Failed{Summary: r.Summary()}
	for _, c := range r.Checks {
		e.Config = e.Config || c.Result == Fail && c.final
	}
	return e
}

// Failed says that a check failed.
type Failed struct {
	Config  bool // one of them for configuration or credentials that cannot work
	Summary string
}

func (e *Failed) Error() string { return e.Summary }

// Options of a Run.
type Options struct {
	Config  *config.Config // nil: it cannot be read
	Errors  error          // what is wrong with the configuration
	Connect bool           // to Zoom, even if it is not known whether a replica is connected
	HTTP    *http.Client   // to Zoom; nil: the default
	Each    func(Check)    // is told of each check as it is done; may be nil
}

// Run does all checks that can be done.
func Run(ctx context.Context, o Options) Report {
	e := &exam{o: o, cfg: o.Config, report: Report{Result: Pass, Checks: []Check{}}}
	e.configuration()
	if e.cfg == nil {
		return e.report
	}
	e.secrets = secrets(e.cfg)
	e.webhook()
	e.disk()
	tokens := e.token(ctx)
	site, leave := e.nats(ctx)
	defer leave()
	for _, endpoint := range e.cfg.Zoom.Endpoints {
		e.subscription(ctx, endpoint, tokens, site)
	}
	return e.report
}

// exam is one Run.
type exam struct {
	o       Options
	cfg     *config.Config
	secrets []string
	report  Report
}

func (e *exam) pass(code Code, format string, args ...any) {
	e.add(Check{Check: code, Result: Pass, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) skip(code Code, format string, args ...any) {
	e.add(Check{Check: code, Result: Skip, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) warn(code Code, fix, format string, args ...any) {
	e.add(Check{Check: code, Result: Warn, Fix: fix, Detail: fmt.Sprintf(format, args...)})
}

// fail is for what may pass by itself, reject for what cannot work as it is.
func (e *exam) fail(code Code, fix, format string, args ...any) {
	e.add(Check{Check: code, Result: Fail, Fix: fix, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) reject(code Code, fix, format string, args ...any) {
	e.add(Check{Check: code, Result: Fail, Fix: fix, Detail: fmt.Sprintf(format, args...), final: true})
}

func (e *exam) add(c Check) {
	c.Detail, c.Fix = e.clean(c.Detail), e.clean(c.Fix)
	if c.Result == Fail || c.Result == Warn && e.report.Result == Pass {
		e.report.Result = c.Result
	}
	e.report.Checks = append(e.report.Checks, c)
	if e.o.Each != nil {
		e.o.Each(c)
	}
}

// clean makes one printable line of what may hold texts of Zoom, NATS and other
// people's streams.
func (e *exam) clean(text string) string {
	for _, secret := range e.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return printable(text)
}

// secrets are what no text may hold, whoever wrote it. Zoom's and sensible
// passwords are longer than what is left out here, which may be part of a word.
func secrets(c *config.Config) []string {
	var all []string
	for _, s := range []string{c.Zoom.ClientID, c.Zoom.ClientSecret, c.Zoom.AccountID, c.Zoom.SecretToken, c.NATS.Password, c.NATS.Token, c.AlarmWebhookURL} {
		if len(s) >= 8 {
			all = append(all, s)
		}
	}
	return all
}

// printable keeps control characters, also invisible ones, from a terminal.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// clock is a time for people.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// round drops digits that nobody wants to read.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Second / 10)
}
