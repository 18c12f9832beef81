// Package doctor checks, one by one, what zoomstream needs: configuration, disk, Zoom's token, NATS
// with its permissions, the stream and the buckets, and each subscription's connection up to the
// first heartbeat.
//
// It changes nothing, with one exception: while it is connected to Zoom itself, it takes the lease
// of the subscription, which nobody holds. Zoom closes the connection of whoever was connected
// before, so doctor does not connect if the configured NATS knows of a replica that is or might be
// connected. On a NATS without leases it connects only if there is no trace of zoomstream. It
// cannot detect replicas that use another NATS: their connection would be closed.
//
// A permission to publish is tested with messages that the server traces but delivers to nobody
// (Nats-Trace-Only,
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-41.md).
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

// Code names a check. Codes are stable.
type Code string

// The checks.
const (
	Configuration Code = "config"
	AlarmWebhook  Code = "alarms.webhook" // only if one is configured

	DataFolder    Code = "disk.data"     // that of the embedded NATS server is writable
	SpoolFolder   Code = "disk.spool"    // is writable
	SpoolSpace    Code = "disk.space"    // suffices for a full spool
	SpoolLeftOver Code = "disk.leftover" // messages waiting in the spool

	Token  Code = "token.grant"
	Scopes Code = "token.scopes"
	Clock  Code = "token.clock" // this machine's clock compared with Zoom's

	Server      Code = "nats.server"
	Permissions Code = "nats.permissions"
	JetStream   Code = "nats.jetstream"

	Stream        Code = "stream.settings" // including that it exists or can be created
	StreamState   Code = "stream.state"
	StreamFilters Code = "stream.filters" // of consumers that do not match the keys in the subjects; only if there are some
	LeaseBucket   Code = "bucket.leases"
	StateBucket   Code = "bucket.states"
	OtherLeases   Code = "bucket.others"   // leases of subscriptions not in this configuration
	Alarms        Code = "replicas.alarms" // raised by running replicas
	Endpoint      Code = "subscription.url"
	Lease         Code = "subscription.lease"
	Connection    Code = "subscription.connection"
	Heartbeat     Code = "subscription.heartbeat"
	EventsMissed  Code = "subscription.events" // received during the check and not stored
)

// Result of a check, or of all checks.
type Result string

// The results. Pass, Warn and Fail are in the order of severity; Skip has none.
const (
	Skip Result = "skip"
	Pass Result = "pass"
	Warn Result = "warn"
	Fail Result = "fail"
)

// Check is one check and its result.
type Check struct {
	Check        Code   `json:"check"`
	Subscription string `json:"subscription,omitempty"`
	Result       Result `json:"result"`
	Detail       string `json:"detail"`
	Fix          string `json:"fix,omitempty"`

	final bool // failed until somebody changes a setting or a permission
}

// Report holds all checks.
type Report struct {
	Result Result  `json:"result"`
	Checks []Check `json:"checks"`
}

// Summary returns the report in one line.
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

// Err returns a *Failed if any check failed.
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
	Config  bool // at least one failed for configuration or credentials that can never work
	Summary string
}

func (e *Failed) Error() string { return e.Summary }

// Options of a Run.
type Options struct {
	Config  *config.Config // nil: it could not be loaded
	Errors  error          // what is wrong with the configuration
	Connect bool           // connect to Zoom even if it is unknown whether a replica is connected
	HTTP    *http.Client   // to Zoom; nil: the default
	Each    func(Check)    // called for each check when it is done; may be nil
}

// Run makes all checks that it can.
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

// exam is one call of Run.
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

// fail reports what may go away by itself, reject what can never work as it is.
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

// clean turns a text that may come from Zoom, NATS or other people's streams into one printable
// line without secrets.
func (e *exam) clean(text string) string {
	for _, secret := range e.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return printable(text)
}

// secrets returns what no text may contain, whoever wrote it. It leaves out values shorter than 8
// bytes, which may be part of a word; Zoom's secrets and sensible passwords are longer.
func secrets(c *config.Config) []string {
	var all []string
	for _, s := range []string{c.Zoom.ClientID, c.Zoom.ClientSecret, c.Zoom.AccountID, c.Zoom.SecretToken, c.NATS.Password, c.NATS.Token, c.AlarmWebhookURL} {
		if len(s) >= 8 {
			all = append(all, s)
		}
	}
	return all
}

// printable escapes control and other unprintable characters.
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

// clock formats a time for people.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// round drops digits that nobody needs.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Second / 10)
}
