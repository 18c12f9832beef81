package doctor

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// connectTimeout bounds the wait for a NATS server.
const connectTimeout = 3 * time.Second

// site is what was found of NATS.
type site struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	at      place
	missing map[string]bool // permissions, such as "publish <subject>"
	survey  *provision.Survey
	stream  bucketState
	leases  bucketState
	states  bucketState
	traces  traces // if there is no bucket of leases

	overview *status.Overview // what the replicas report; nil: nothing
}

// may reports whether the user may send a request to the JetStream API.
func (s *site) may(api string) bool {
	return !s.missing["publish "+s.at.api+api] && !s.missing[hearing]
}

// nats checks NATS and what is stored there. The site is nil if JetStream cannot be asked.
func (e *exam) nats(ctx context.Context) (found *site, leave func()) {
	js := e.dial(ctx)
	if js == nil {
		return nil, func() {}
	}
	nc := js.Conn()
	leave = nc.Close
	if !e.server(ctx, nc) {
		return nil, leave
	}
	s := &site{nc: nc, js: js, at: placeOf(js)}
	if s.missing = e.permissions(ctx, nc, s.at); s.missing == nil {
		return nil, leave
	}
	if !e.jetStream(ctx, s) {
		e.askReplicas(ctx, s)
		e.alarms(s)
		return nil, leave
	}
	e.askReplicas(ctx, s)
	e.stream(ctx, s)
	e.buckets(ctx, s)
	e.alarms(s)
	if s.leases.known && !s.leases.exists {
		s.traces = e.traces(ctx, s)
	}
	return s, leave
}

func (e *exam) dial(ctx context.Context) jetstream.JetStream {
	options := natsconn.Settings(e.cfg.NATS).Options()
	options.Name = "zoomstream doctor"
	if e.cfg.NATS.Embedded() {
		if options.URL = e.embedded(); options.URL == "" {
			return nil
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errors.New("no connection within "+connectTimeout.String()))
	defer cancel()
	js, err := natsconn.ConnectNow(ctx, options)
	if err == nil {
		return js
	}
	unreachable, ok := errors.AsType[*natsconn.Unreachable](err)
	switch {
	case ok && unreachable.Refused:
		e.reject(Server, "check: "+unreachable.Advice, "%v", err)
	case ok:
		e.fail(Server, "check: "+unreachable.Advice, "%v", err)
	default:
		for _, one := range flatten(err) {
			e.reject(Server, "correct the setting", "%v", one)
		}
	}
	return nil
}

// embedded returns the URL of the embedded server that a replica with this data folder runs; "":
// none runs.
func (e *exam) embedded() string {
	usual := "nats://" + e.cfg.NATSAddr
	address, runs := natsconn.EmbeddedURL(e.cfg.DataDir, e.cfg.NATSAddr)
	if runs && listens(address) {
		return address
	}
	if pid, locked := locker(natsLock(e.cfg.DataDir)); locked {
		e.fail(Server, "run doctor again in a moment; if this lasts, see the log of that process, or stop it: no other zoomstream can start with this folder",
			"process %d holds the lock of %s, and its NATS server does not answer: it is starting, or hangs", pid, e.cfg.DataDir)
		return ""
	}
	if listens(usual) {
		e.fail(Server, "if it is another zoomstream's, join it with NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url, if a NATS server of your own, with NATS_URL="+usual+", else stop it",
			"no zoomstream runs in %s, and its NATS server could not start: something else listens at %s", e.cfg.DataDir, usual)
		return ""
	}
	e.skip(Server, "NATS is not set, so zoomstream runs its own server; none runs in %s, and nobody listens at %s, where it would", e.cfg.DataDir, usual)
	return ""
}

func listens(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	conn.Close() //nolint:errcheck // that somebody took it is all
	return true
}

// server reports whether the server meets the requirements.
func (e *exam) server(ctx context.Context, nc *nats.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	asked := time.Now()
	err := nc.FlushWithContext(ctx)
	took := time.Since(asked)
	if err != nil {
		e.fail(Server, "run doctor again", "the connection to NATS broke: %v", err)
		return false
	}
	name, version := nc.ConnectedServerName(), nc.ConnectedServerVersion()
	if !nc.HeadersSupported() || older(version, 2, 11) {
		e.reject(Server, "update it", "server %s has version %s, and leases need nats-server 2.11 or newer", name, version)
		return false
	}
	e.pass(Server, "server %s, version %s, round trip %s, messages up to %s", name, version, round(took), size(nc.MaxPayload()))
	return true
}

// jetStream reports whether JetStream is available.
func (e *exam) jetStream(ctx context.Context, s *site) bool {
	if !s.may("INFO") {
		e.skip(JetStream, "needs permission for %sINFO", s.at.api)
		return false
	}
	var err error
	s.survey, err = provision.NewSurvey(ctx, s.js, provision.Options{Config: e.cfg, MaxMessage: int(s.nc.MaxPayload())})
	if err != nil {
		fix := "enable JetStream on the server and for this account (jetstream {} in its configuration); in a cluster this may be an election, which passes"
		err = jsapi.Absent(s.js, err)
		if _, elsewhere := errors.AsType[*jsapi.AbsentError](err); elsewhere {
			fix = "look " + jsapi.AbsentAdvice
		}
		e.fail(JetStream, fix, "JetStream does not answer: %v", err)
		return false
	}
	account := s.survey.Room.Account
	most := account.Limits.MaxStore
	if most <= 0 {
		e.pass(JetStream, "%s in use by this account, which has no limit of its own", size(int64(account.Store)))
		return true
	}
	if used := float64(account.Store) / float64(most); used > nearlyFull {
		e.warn(JetStream, "raise the account's limit, or limit its streams", "%s of the account's %s are in use", size(int64(account.Store)), size(most))
		return true
	}
	e.pass(JetStream, "%s of the account's %s are in use", size(int64(account.Store)), size(most))
	return true
}

// nearlyFull is the share of a limit from which to warn.
const nearlyFull = 0.9

// older reports whether a version is lower than major.minor.
func older(version string, major, minor int) bool {
	var got [2]int
	for i, part := range strings.SplitN(version, ".", 3)[:min(2, strings.Count(version, ".")+1)] {
		for _, digit := range part {
			if digit < '0' || digit > '9' {
				return false // a custom version
			}
			got[i] = got[i]*10 + int(digit-'0')
		}
	}
	return got[0] < major || got[0] == major && got[1] < minor
}
