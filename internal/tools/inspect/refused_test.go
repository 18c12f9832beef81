package inspect

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestRefused: errors name what a user may not do.
func TestRefused(t *testing.T) {
	allowed := &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.ZOOM"}}
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "all", Password: "p"}, {Username: "few", Password: "p", Permissions: &server.Permissions{Publish: allowed}},
	}})
	js, err := jetstream.New(connectAs(t, s, "all"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	few := connectAs(t, s, "few")
	stream, err := Open(t.Context(), natstest.JetStream(t, few), "ZOOM", "zoom")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := stream.Gaps(t.Context(), time.Time{}, ""); err == nil || !strings.Contains(err.Error(), "$JS.API.CONSUMER.CREATE.ZOOM.") {
		t.Error(err)
	}
	if answers, err := AskSeen(t.Context(), few, "zoomstream", []string{"id"}); err != nil || len(answers) != 0 {
		t.Errorf("who may not ask gets %v, %v", answers, err)
	}
}

// TestNoStreamShowsNoToken: the error names the server without the login in its URL, which may be a
// bare token.
func TestNoStreamShowsNoToken(t *testing.T) {
	s := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Authorization: "geheim"})
	nc, err := nats.Connect("nats://geheim@" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	_, err = Open(t.Context(), natstest.JetStream(t, nc), "ZOOM", "zoom")
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) || strings.Contains(err.Error(), "geheim") {
		t.Error(err)
	}
}
