package natsconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func TestStartsBeforeTheServer(t *testing.T) {
	port := natstest.Port(t)
	log, logger := newLog()
	nc := make(chan *nats.Conn, 1)
	go func() {
		c, err := Connect(t.Context(), Options{URL: fmt.Sprintf("nats://user:geheim@127.0.0.1:%d", port), Name: "zoomstream/a", Log: logger})
		if err != nil {
			t.Error(err)
			close(nc)
			return
		}
		nc <- c.Conn()
	}()
	log.await(t, fmt.Sprintf("waiting for NATS at nats://127.0.0.1:%d", port))
	log.await(t, "connection refused")
	srv := runServer(t, &server.Options{Port: port})
	c := <-nc
	if c == nil {
		t.FailNow()
	}
	defer c.Close()
	if !c.IsConnected() || log.with(t, "connected to NATS") != 1 {
		t.Errorf("status %v, log:\n%s", c.Status(), log)
	}
	if strings.Contains(log.String(), "geheim") {
		t.Errorf("the password is logged:\n%s", log)
	}
	connz, err := srv.Connz(nil)
	if err != nil || len(connz.Conns) != 1 || connz.Conns[0].Name != "zoomstream/a" {
		t.Errorf("connection list %+v, %v", connz, err)
	}
}

func TestStopsWaiting(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	log, logger := newLog()
	done := make(chan error, 1)
	go func() {
		_, err := Connect(ctx, Options{URL: fmt.Sprintf("127.0.0.1:%d", natstest.Port(t)), Log: logger})
		done <- err
	}()
	log.await(t, "waiting for NATS")
	cancel(errors.New("told to stop"))
	want(t, <-done, "waiting for NATS at nats://127.0.0.1", "told to stop")
}

// lock refuses everybody until it is open.
type lock struct {
	open    atomic.Bool
	refused chan struct{}
}

func (g *lock) Check(server.ClientAuthentication) bool {
	if g.open.Load() {
		return true
	}
	select {
	case g.refused <- struct{}{}:
	default:
	}
	return false
}

// TestRefusedCredentials: refused credentials are always logged, even if no server was there at
// first, and never end the attempts.
func TestRefusedCredentials(t *testing.T) {
	port := natstest.Port(t)
	log, logger := newLog()
	done := make(chan error, 1)
	go func() {
		js, err := Connect(t.Context(), Options{URL: fmt.Sprintf("127.0.0.1:%d", port), User: "u", Password: "geheim", Log: logger})
		if err == nil {
			js.Conn().Close()
		}
		done <- err
	}()
	log.await(t, "connection refused")
	g := &lock{refused: make(chan struct{}, 3)}
	runServer(t, &server.Options{Port: port, CustomClientAuthentication: g})
	log.await(t, "the server refuses the credentials: NATS_CREDS")
	log.await(t, "Authorization Violation")
	for range 3 { // by default nats.go gives up after two
		<-g.refused
	}
	g.open.Store(true)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "geheim") {
		t.Errorf("the password is logged:\n%s", log)
	}
}

// TestRefusedLater: a connection whose user vanishes keeps trying, says why, and comes back with
// the user.
func TestRefusedLater(t *testing.T) {
	opts := &server.Options{Username: "zoomstream", Password: "geheim"}
	srv := runServer(t, opts)
	log, logger := newLog()
	connect(t, Options{URL: srv.ClientURL(), User: "zoomstream", Password: "geheim", Log: logger})
	changed := opts.Clone()
	changed.Username = "other"
	if err := srv.ReloadOptions(changed); err != nil {
		t.Fatal(err)
	}
	log.await(t, "NATS connection lost")
	log.await(t, "the server refuses the credentials: NATS_CREDS")
	if err := srv.ReloadOptions(opts.Clone()); err != nil {
		t.Fatal(err)
	}
	log.await(t, "NATS connection is back")
}

// TestRefusedSecretsAreAskedForAgain: the server refuses the secrets, at first and later. Refused
// is called, and Secrets then returns new ones.
func TestRefusedSecretsAreAskedForAgain(t *testing.T) {
	opts := &server.Options{Authorization: "first"}
	srv := runServer(t, opts)
	log, logger := newLog()
	var token atomic.Value // what Secrets returns
	var wanted atomic.Value
	token.Store("old")
	wanted.Store("first")
	connect(t, Options{
		URL: srv.ClientURL(), Token: "old", Log: logger,
		Secrets: func() Secrets { return Secrets{URL: srv.ClientURL(), Token: token.Load().(string)} },
		Refused: func() { token.Store(wanted.Load()) },
	})
	wanted.Store("second")
	changed := opts.Clone()
	changed.Authorization = "second"
	if err := srv.ReloadOptions(changed); err != nil {
		t.Fatal(err)
	}
	log.await(t, "NATS connection lost")
	log.await(t, "NATS connection is back")
}

func TestReconnects(t *testing.T) {
	opts := &server.Options{}
	srv := runServer(t, opts)
	log, logger := newLog()
	nc := connect(t, Options{URL: srv.ClientURL(), Log: logger})
	srv.Shutdown()
	srv.WaitForShutdown()
	log.await(t, "NATS connection lost")
	log.await(t, "waiting for NATS at "+srv.ClientURL())
	if err := nc.Publish("zoom.x", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("a publish without a server gave %v: it would be delivered later, out of order", err)
	}
	runServer(t, &server.Options{Port: opts.Port})
	log.await(t, "NATS connection is back")
	log.await(t, "outage")
	if err := nc.Publish("zoom.x", nil); err != nil {
		t.Error(err)
	}
}

// TestOutagesArePacedAnew: a loss right after a long wait is logged at once.
func TestOutagesArePacedAnew(t *testing.T) {
	nc := connect(t, Options{InProcess: runServer(t, &server.Options{})})
	e := &events{pace: pacer{next: time.Now().Add(time.Hour), every: time.Hour}}
	if err := await(t.Context(), nc, e); err != nil || e.pace != (pacer{}) {
		t.Errorf("pace %+v, error %v", e.pace, err)
	}
}

func TestReconnectDelay(t *testing.T) {
	for round, least := range map[int]time.Duration{1: 100 * time.Millisecond, 3: 400 * time.Millisecond, 5: time.Second, 1000: time.Second} {
		for range 100 {
			if got := reconnectDelay(round); got < least || got >= least*3/2 {
				t.Errorf("round %d: %v", round, got)
			}
		}
	}
}

func TestTokenIsNotLogged(t *testing.T) {
	srv := runServer(t, &server.Options{Authorization: "geheim"})
	log, logger := newLog()
	connect(t, Options{URL: strings.Replace(srv.ClientURL(), "://", "://geheim@", 1), Log: logger})
	log.await(t, "connected to NATS")
	if strings.Contains(log.String(), "geheim") || !strings.Contains(log.String(), srv.ClientURL()) {
		t.Errorf("log:\n%s", log)
	}
}

func TestDeniedSubjectsAreNamed(t *testing.T) {
	srv := runServer(t, &server.Options{Users: []*server.User{{Username: "u", Password: "p",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"zoom.>"}}}}}})
	log, logger := newLog()
	nc := connect(t, Options{URL: srv.ClientURL(), User: "u", Password: "p", Log: logger})
	for range 100 {
		if err := nc.Publish("elsewhere.started", nil); err != nil {
			t.Fatal(err)
		}
	}
	log.await(t, `"count":64`)
	if lines := log.with(t, "NATS denies a subject"); lines != 7 || !strings.Contains(log.String(), "elsewhere.started") {
		t.Errorf("%d lines for 100 violations:\n%s", lines, log)
	}
	if !nc.IsConnected() {
		t.Error("a violation ended the connection")
	}
}

func TestErrorKindsAreBounded(t *testing.T) {
	e := &events{}
	for i := range 100_000 {
		e.count(fmt.Sprint(i))
	}
	if len(e.errors) > 257 {
		t.Errorf("%d counters", len(e.errors))
	}
}

func TestServerEndsTheConnection(t *testing.T) {
	srv := runServer(t, &server.Options{})
	log, logger := newLog()
	nc := connect(t, Options{URL: srv.ClientURL(), Log: logger})
	if err := nc.Publish(strings.Repeat("a", 5000), nil); err != nil { // longer than the control line's limit
		t.Fatal(err)
	}
	log.await(t, "NATS connection closed for good")

	log, logger = newLog()
	js, err := Connect(t.Context(), Options{URL: srv.ClientURL(), Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	js.Conn().Close()
	if log.with(t, "closed for good") > 0 {
		t.Errorf("our own Close looks like a failure:\n%s", log)
	}
}

func TestLameDuckIsLogged(t *testing.T) {
	srv := runServer(t, &server.Options{LameDuckDuration: 100 * time.Millisecond, LameDuckGracePeriod: 10 * time.Millisecond})
	log, logger := newLog()
	connect(t, Options{URL: srv.ClientURL(), Log: logger})
	done := make(chan struct{})
	go func() { srv.LameDuckShutdown(); close(done) }()
	log.await(t, "lame duck mode")
	log.await(t, "NATS connection lost")
	<-done
}
