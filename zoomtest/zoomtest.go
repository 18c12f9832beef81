// Package zoomtest simulates Zoom, for tests of programs that read Zoom's events.
//
// [Start] serves Zoom's token endpoint and its WebSocket on a free port of 127.0.0.1. A
// connector, such as "zoomstream run", connects to it with the settings of [Sim.Env]. The test
// then emits events, makes Zoom fail, and asks what became of each event.
//
// It is the simulator of "zoomstream sim"; docs/testing.md in zoomstream's repository explains
// how a team tests its consumers with it.
package zoomtest

import (
	"cmp"
	"context"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

var (
	// ErrNobody is returned if no connection is open to get the event. The event is not emitted.
	ErrNobody = zoomsim.ErrNobody
	// ErrUnknownEvent is returned for an event name that is not known from public sources. Its
	// text lists the most similar names.
	ErrUnknownEvent = zoomsim.ErrUnknownEvent
)

// Subscription is the default id of the event subscription.
const Subscription = "test"

// Options configure a simulated Zoom. The zero value makes one without faults.
type Options struct {
	// Subscription is the id of the event subscription. Empty: the constant Subscription.
	Subscription string
	// SecretToken, if set, signs the events, as Zoom does with an app's secret token.
	SecretToken string
	// TokenLifetime is how long an access token can open connections. 0: an hour.
	TokenLifetime time.Duration
}

// Sim is a simulated Zoom. Its methods are safe for concurrent use.
type Sim struct {
	// URL is http://127.0.0.1:PORT. The control API of "zoomstream sim" is below URL + "/control/".
	URL string

	opt    Options
	sim    *zoomsim.Sim
	server *httptest.Server
}

// Credentials that the token endpoint accepts.
const (
	clientID     = "zoomtest-client"
	clientSecret = "zoomtest-secret"
	accountID    = "zoomtest-account"
)

// Start starts a simulated Zoom and closes it at the end of the test.
func Start(tb testing.TB, opt Options) *Sim {
	tb.Helper()
	s := New(opt)
	tb.Cleanup(s.Close)
	return s
}

// New starts a simulated Zoom, which the caller must close. It panics if there is no free
// port.
func New(opt Options) *Sim {
	opt.Subscription = cmp.Or(opt.Subscription, Subscription)
	sim := zoomsim.New(zoomsim.Options{
		ClientID: clientID, ClientSecret: clientSecret, AccountID: accountID,
		SecretToken: opt.SecretToken, TokenLifetime: opt.TokenLifetime,
	})
	server := httptest.NewServer(sim.Handler())
	return &Sim{URL: server.URL, opt: opt, sim: sim, server: server}
}

// Close ends all connections and waits until everything that the Sim has started has ended.
// Further calls are harmless.
func (s *Sim) Close() {
	s.sim.Close() // before the server, which would wait for requests that hang on purpose
	s.server.Close()
}

// Env returns the settings with which a connector connects to the Sim, each as NAME=VALUE, for
// [os/exec.Cmd.Env].
func (s *Sim) Env() []string {
	env := []string{
		"ZOOM_CLIENT_ID=" + clientID, "ZOOM_CLIENT_SECRET=" + clientSecret, "ZOOM_ACCOUNT_ID=" + accountID,
		"ZOOM_OAUTH_URL=" + s.URL + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws" + strings.TrimPrefix(s.URL, "http") + "/ws?subscriptionId=" + url.QueryEscape(s.opt.Subscription),
	}
	if s.opt.SecretToken != "" {
		env = append(env, "ZOOM_SECRET_TOKEN="+s.opt.SecretToken)
	}
	return env
}

// WaitReady blocks until a connector is connected and gets the events that are emitted from
// then on. If ctx ends first, it returns ctx's cause.
func (s *Sim) WaitReady(ctx context.Context) error {
	return s.sim.WaitReady(ctx, s.opt.Subscription)
}

// Emit emits one event and does not wait until it is written to the connection. The body is a
// sample of Zoom's, with the present time as event_ts, a unique number "sim_seq", and the given
// changes.
//
// Each change is PATH=VALUE, such as payload.object.id=5. The path consists of member names and,
// for array elements, numbers from 0; missing members are created. The value is JSON, or else
// text, which becomes a string. There can be at most 64 changes, with paths of at most 16 names.
//
// The error is an [ErrUnknownEvent], an [ErrNobody], or says which change cannot be made. In
// each case nothing is emitted.
func (s *Sim) Emit(event string, changes ...string) error {
	action := url.Values{"subscription": {s.opt.Subscription}, "event": {event}, "set": changes}
	return s.Do("emit?" + action.Encode())
}

// EmitBody emits an event with exactly this body, which may be anything, and does not wait until
// it is written. The error is an [ErrNobody]; then nothing is emitted.
func (s *Sim) EmitBody(body []byte) error {
	if err := s.sim.CheckLive(s.opt.Subscription); err != nil {
		return err
	}
	s.sim.Emit(s.opt.Subscription, zoomsim.Event{Body: body})
	return nil
}

// EmitMeeting emits the six events of one meeting: meeting.created, meeting.started,
// meeting.participant_joined, meeting.participant_left, meeting.ended and recording.completed.
// They are pace apart, at least a millisecond. Their ids, times, host and participant agree. The
// number of the meeting is id, or made up if id is 0. EmitMeeting returns that number and the
// meeting's uuid.
//
// The error is an [ErrNobody] if nobody is connected at first, or ctx's cause if ctx ends before
// the last event is emitted.
func (s *Sim) EmitMeeting(ctx context.Context, id int64, pace time.Duration) (number int64, uuid string, err error) {
	m := zoomsim.NewMeeting(id)
	if err := s.sim.CheckLive(s.opt.Subscription); err != nil {
		return 0, "", err
	}
	_, err = s.sim.EmitMeeting(ctx, s.opt.Subscription, m, pace)
	return m.ID, m.UUID, err
}

// Replay emits the events of a file at perSecond, or with 0 as fast as the connector accepts
// them. Each line of the file is a line of "zoomstream tail --json", which is skipped if it is
// no event, or the body of an event. Replay returns the number of events emitted and, if that is
// not all, an error.
func (s *Sim) Replay(ctx context.Context, file io.Reader, perSecond float64) (int64, error) {
	return s.sim.Replay(ctx, s.opt.Subscription, file, perSecond)
}

// Do performs an action of the control API. "curl URL/control/" lists all actions with their
// parameters: "cut" resets the connection, "refuse?mode=new&count=2" refuses the next two,
// "late?by=2h&for=1m" makes the events of one minute two hours old, "duplicate?times=3" sends each
// event three times, "reset" lifts all faults. An unknown action or a missing parameter is an
// error. Actions that emit events need subscription=ID, the one in Options.
func (s *Sim) Do(action string) error {
	_, err := s.sim.Do(action)
	return err
}

// Drain blocks until each event is written to a connection, or lost with one. If ctx ends first,
// it returns ctx's cause.
func (s *Sim) Drain(ctx context.Context) error { return s.sim.Drain(ctx, "") }

// Event is an emitted event and what became of it.
type Event struct {
	Name       string // such as meeting.started
	TrackingID string // Zoom's x-zm-trackingid
	At         time.Time
	// Outcome is what became of it. Written: it was handed to the connection. Queued: it waits for
	// that. Nobody: there was no connection. Lost: it was queued when its connection ended.
	Outcome Outcome
	Copy    int // 0 for the event itself, 1 for its first repetition, 2 for the next
}

// Outcome is what became of an event.
type Outcome = zoomsim.Outcome

// The outcomes.
const (
	Queued  = zoomsim.Queued
	Written = zoomsim.Written
	Nobody  = zoomsim.Nobody
	Lost    = zoomsim.Lost
)

// Events returns the emitted events in order. Only the latest million are kept.
func (s *Sim) Events() []Event {
	var events []Event
	for _, e := range s.sim.Ledger().Entries {
		if !e.Raw {
			events = append(events, Event{Name: e.Event, TrackingID: e.TrackingID, At: e.At, Outcome: e.Outcome, Copy: e.Copy})
		}
	}
	return events
}
