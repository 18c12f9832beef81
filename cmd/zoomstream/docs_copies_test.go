package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestCopiesOfDocs creates the mirrors of docs/consumers.md with the configuration given there: in
// another account, and on a leaf node.
func TestCopiesOfDocs(t *testing.T) {
	t.Parallel()
	page := readDoc(t, consumersPage)
	accounts := regexp.MustCompile("(?s)```\n(accounts {.*?)```").FindStringSubmatch(page)
	externals := regexp.MustCompile("`\"external\": ({.*?})`").FindAllStringSubmatch(page, -1)
	if accounts == nil || len(externals) != 2 {
		t.Fatalf("%s has %q and %q", consumersPage, accounts, externals)
	}
	passwords := strings.NewReplacer("$CONNECTOR_PASSWORD", "one", "$TEAM_PASSWORD", "two")
	leafPort := natstest.Port(t)
	hub := startConfigured(t, fmt.Sprintf("jetstream { domain: DOMAIN }\nleafnodes { listen: \"127.0.0.1:%d\" }\n%s", leafPort, passwords.Replace(accounts[1])))
	leaf := startConfigured(t, fmt.Sprintf(`jetstream { domain: leaf }
		leafnodes { remotes: [{url: "nats://zoomstream:one@127.0.0.1:%d"}] }`, leafPort))
	connect := func(s *server.Server, options ...nats.Option) jetstream.JetStream {
		nc, err := nats.Connect(s.ClientURL(), options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	origin := connect(hub, nats.UserInfo("zoomstream", "one"))
	if _, err := origin.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Publish(t.Context(), "zoom.meeting.started", nil, jetstream.WithMsgID("id")); err != nil {
		t.Fatal(err)
	}
	for i, js := range []jetstream.JetStream{connect(hub, nats.UserInfo("team", "two")), connect(leaf)} {
		mirror := jetstream.StreamSource{Name: "ZOOM"}
		if err := json.Unmarshal([]byte(externals[i][1]), &mirror.External); err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "COPY", Mirror: &mirror})
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			msg, err := stream.GetMsg(t.Context(), 1)
			if err == nil {
				if msg.Subject != "zoom.meeting.started" || msg.Header.Get(nats.MsgIdHdr) != "id" {
					t.Errorf("it has %s, %v", msg.Subject, msg.Header)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("mirror %d does not follow: %v", i, err)
			}
		}
	}
}

// startConfigured starts a nats-server from the text of a configuration, with a free port and a
// folder of its own.
func startConfigured(t *testing.T, text string) *server.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(strings.TrimSpace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port, options.StoreDir = "127.0.0.1", -1, t.TempDir()
	return natstest.Start(t, options)
}
