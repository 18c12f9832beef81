// Package zoomtest has a simulated Zoom for tests of programs that read Zoom's events.
//
// [Start] serves Zoom's token endpoint and its WebSocket on a free port of 127.0.0.1. A
// connector, such as "zoomstream run", connects to it with the settings of [Sim.Env]. The test
// then emits events, makes Zoom fail, and asks what became of each event.
//
// It is the simulator of "zoomstream sim"; docs/testing.md in zoomstream's repository says how
// a team tests its consumers with it.
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
	// ErrNobody is the error of an event that no connection would get: it is not emitted.
	ErrNobody = zoomsim.ErrNobody
	// ErrUnknownEvent is the error of an event whose name is not known from public sources. Its
	// text has the nearest names.
	ErrUnknownEvent = zoomsim.ErrUnknownEvent
)

// Subscription is the id of the event subscription, unless Options has another.
const Subscription = "test"

// Options configure a simulated Zoom. The zero value behaves well.
type Options struct {
	// Subscription is the id of the event subscription. Empty: Subscription.
	Subscription string
	// SecretToken, if it is set, is what events are signed with, as Zoom does with an app's
	// secret token.
	SecretToken string
	// TokenLifetime is how long an access token opens connections. 0: an hour.
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

// Start starts a simulated Zoom that ends with the test.
func Start(tb testing.TB, opt Options) *Sim {
	tb.Helper()
	s := New(opt)
	tb.Cleanup(s.Close)
	return s
}

// New starts a simulated Zoom. The caller closes it. It panics if there is no free port.
func New(opt Options) *Sim {
	opt.Subscription = cmp.Or(opt.Subscription, Subscription)
	sim := zoomsim.New(zoomsim.Options{
		ClientID: clientID, ClientSecret: clientSecret, AccountID: accountID,
		SecretToken: opt.SecretToken, TokenLifetime: opt.TokenLifetime,
	})
	server := httptest.NewServer(sim.Handler())
	return &Sim{URL: server.URL, opt: opt, sim: sim, server: server}
}

// Close ends all connections and waits for what the Sim has started. It may be called again.
func (s *Sim) Close() {
	s.sim.Close() // before the server, which would wait for requests that hang on purpose
	s.server.Close()
}

// Env are the settings of a connector, each NAME=VALUE, for [os/exec.Cmd.Env].
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

// WaitReady blocks until a connector is connected, so that it gets the events which are
// emitted then. The error is ctx's cause.
func (s *Sim) WaitReady(ctx context.Context) error {
	return s.sim.WaitReady(ctx, s.opt.Subscription)
}

// Emit emits one event and does not wait until it is written. Its body is a sample of Zoom's
// with event_ts of now, a number "sim_seq" that no other body has, and the changes made. Each
// change is PATH=VALUE, such as payload.object.id=5: the path has names of members and, for
// elements of arrays, numbers from 0; what is missing is made. The value is JSON, or else any text,
// which becomes a string. At most 64 changes can be made, in paths of at most 16 names.
//
// It is an [ErrUnknownEvent], an [ErrNobody] or a change that cannot be made: then nothing is
// emitted.
func (s *Sim) Emit(event string, changes ...string) error {
	action := url.Values{"subscription": {s.opt.Subscription}, "event": {event}, "set": changes}
	return s.Do("emit?" + action.Encode())
}

// EmitBody emits an event with this body, byte for byte, whatever it is. The error is an
// [ErrNobody]; then nothing is emitted.
func (s *Sim) EmitBody(body []byte) error {
	if err := s.sim.CheckLive(s.opt.Subscription); err != nil {
		return err
	}
	s.sim.Emit(s.opt.Subscription, zoomsim.Event{Body: body})
	return nil
}

// EmitMeeting emits the six events of one meeting, a pace after each other, and at least a
// millisecond: meeting.created, meeting.started, meeting.participant_joined,
// meeting.participant_left, meeting.ended and recording.completed. Their ids, times, host and
// participant agree. The number of the meeting is id, or made up if that is 0. It returns that
// number and the meeting's uuid.
//
// If nobody is connected at first, it is an [ErrNobody]. If ctx ends before the last event is
// emitted, it is ctx's cause.
func (s *Sim) EmitMeeting(ctx context.Context, id int64, pace time.Duration) (number int64, uuid string, err error) {
	m := zoomsim.NewMeeting(id)
	if err := s.sim.CheckLive(s.opt.Subscription); err != nil {
		return 0, "", err
	}
	_, err = s.sim.EmitMeeting(ctx, s.opt.Subscription, m, pace)
	return m.ID, m.UUID, err
}

// Replay emits the events of a file, so many per second, or with 0 as fast as the connector
// takes them. Its lines are those of "zoomstream tail --json", of which it passes over what is no
// event, or bodies of events. It returns how many it emitted; if these are not all, then also why.
func (s *Sim) Replay(ctx context.Context, file io.Reader, perSecond float64) (int64, error) {
	return s.sim.Replay(ctx, s.opt.Subscription, file, perSecond)
}

// Do does an action of the control API, which "curl URL/control/" lists with its parameters:
// "cut" resets the connection, "refuse?mode=new&count=2" refuses the next two,
// "late?by=2h&for=1m" makes the events of a minute two hours old, "duplicate?times=3" sends each
// event three times, "reset" lifts all faults. An action that the API does not know or that lacks a
// parameter is an error. Those that emit need subscription=ID, that of Options.
func (s *Sim) Do(action string) error {
	_, err := s.sim.Do(action)
	return err
}

// Drain blocks until each event is written to a connection, or lost with one. The error is ctx's
// cause.
func (s *Sim) Drain(ctx context.Context) error { return s.sim.Drain(ctx, "") }

// Event is what became of an emitted event.
type Event struct {
	Name       string // such as meeting.started
	TrackingID string // Zoom's x-zm-trackingid
	At         time.Time
	// Outcome is what became of it. Written: it was handed to the connection. Queued: it waits for
	// that. Nobody: there was no connection. Lost: it was queued when its connection ended.
	Outcome Outcome
	Copy    int // 1 for the first repetition of an event, 2 for the next; 0 for the event itself
}

// Outcome says what became of an event.
type Outcome = zoomsim.Outcome

// The outcomes.
const (
	Queued  = zoomsim.Queued
	Written = zoomsim.Written
	Nobody  = zoomsim.Nobody
	Lost    = zoomsim.Lost
)

// Events are the events that were emitted, in order. Of more than a million the latest are kept.
func (s *Sim) Events() []Event {
	var events []Event
	for _, e := range s.sim.Ledger().Entries {
		if !e.Raw {
			events = append(events, Event{Name: e.Event, TrackingID: e.TrackingID, At: e.At, Outcome: e.Outcome, Copy: e.Copy})
		}
	}
	return events
}
