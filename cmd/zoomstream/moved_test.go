//go:build !race

package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestEmbeddedToServer moves the store of the embedded server to a nats-server, as described in
// docs/platform.md, while a second replica holds the connection. Nothing is lost.
func TestEmbeddedToServer(t *testing.T) {
	t.Parallel()
	port, data := natstest.Port(t), t.TempDir()
	f := newFleet(t, "", testSubscription)
	first := &member{start(t, append(f.settings, natsAddr(port), "ZOOMSTREAM_DATA_DIR="+data, "ZOOMSTREAM_REPLICA=r1"), "run"), "r1"}
	f.alive, f.all, f.started = []*member{first}, []*member{first}, 1
	f.live()
	f.flow(100)
	f.flows(100)

	f.settings = append(f.settings, "NATS_URL_FILE="+filepath.Join(data, "nats.url"))
	second := f.add()
	f.stop(first)
	f.flows(100)
	second.says(&second.stderr, `"code":"publish.paused"`)

	address, err := os.ReadFile(filepath.Join(data, "nats.url"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(address)))
	if err != nil {
		t.Fatal("the file is no address") // it has the password
	}
	password, _ := u.User.Password()
	conf := strings.Replace(string(readDeploy(t, "nats/embedded.conf")), "$EMBEDDED_PASSWORD", "'"+password+"'", 1)
	file := filepath.Join(t.TempDir(), "embedded.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	natsFrom(t, file, filepath.Join(data, "nats"), port, func(o *server.Options) { o.SyncAlways = false }) // otherwise a busy disk limits the rate
	second.says(&second.stderr, "straight to NATS again")
	f.flows(100)
	f.js = jetStream(t, u.String())
	f.finish()
	f.evidence().whole()
}
