package natsconn

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestJetStreamComesLater: until JetStream is there, the log says what is missing.
func TestJetStreamComesLater(t *testing.T) {
	srv := runServer(t, &server.Options{})
	nc := connect(t, Options{InProcess: srv})
	log, done := awaitInBackground(t, t.Context(), nc)
	log.await(t, "waiting for JetStream")
	log.await(t, "enable JetStream on the server")
	if err := srv.EnableJetStream(&server.JetStreamConfig{StoreDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAccountWithoutJetStream(t *testing.T) {
	account := server.NewAccount("A")
	srv := runServer(t, &server.Options{JetStream: true, Accounts: []*server.Account{account},
		Users: []*server.User{{Username: "u", Password: "p", Account: account}}})
	nc := connect(t, Options{URL: srv.ClientURL(), User: "u", Password: "p"})
	ctx, cancel := context.WithCancelCause(t.Context())
	log, done := awaitInBackground(t, ctx, nc)
	log.await(t, "enable JetStream for this account")
	cancel(errors.New("told to stop"))
	want(t, <-done, "waiting for JetStream", "told to stop")
}

func TestJetStreamOnAClosedConnection(t *testing.T) {
	nc := connect(t, Options{InProcess: runServer(t, &server.Options{JetStream: true})})
	nc.Close()
	err := AwaitJetStream(t.Context(), natstest.JetStream(t, nc), zerolog.Nop())
	want(t, err, "connection closed")
}

func awaitInBackground(t *testing.T, ctx context.Context, nc *nats.Conn) (*logLines, <-chan error) {
	log, logger := newLog()
	done := make(chan error, 1)
	js := natstest.JetStream(t, nc)
	go func() { done <- AwaitJetStream(ctx, js, logger) }()
	return log, done
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		&jetstream.APIError{Code: 503, ErrorCode: 10008}: true,
		&jetstream.APIError{Code: 400, ErrorCode: 10005}: true,
		&jetstream.APIError{Code: 500, ErrorCode: 10052}: false,
		jetstream.ErrStreamNotFound:                      false,
		nats.ErrConnectionClosed:                         false,
		nats.ErrNoResponders:                             true,
		context.DeadlineExceeded:                         true,
	} {
		if got := transient(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestPacer(t *testing.T) {
	var p pacer
	var said []int
	start := time.Now()
	for second := range 1200 {
		if p.due(start.Add(time.Duration(second) * time.Second)) {
			said = append(said, second)
		}
	}
	if got := fmt.Sprint(said); got != "[0 1 3 7 15 31 63 127 255 511 811 1111]" {
		t.Errorf("lines at seconds %v", got)
	}
}
