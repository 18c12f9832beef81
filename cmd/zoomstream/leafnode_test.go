package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// natsFrom starts a nats-server from a configuration file, with the given folder and port. change
// may change its options.
func natsFrom(t *testing.T, file, dir string, port int, change func(*server.Options)) *server.Server {
	t.Helper()
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.Port, options.StoreDir = port, dir
	change(options)
	return natstest.Start(t, options)
}

// TestLeafNode: replicas at a leaf node keep everything at the hub, even if the hub goes away and
// comes back. The leaf has a stream of its own with the same name and subjects, which acknowledges
// every event sooner. They must not use it.
func TestLeafNode(t *testing.T) {
	t.Parallel()
	hubDir, hubPort, leafPort := t.TempDir(), natstest.Port(t), natstest.Port(t)
	startHub := func() *server.Server {
		return natsFrom(t, "../../deploy/nats/hub.conf", hubDir, hubPort, func(o *server.Options) { o.LeafNode.Port, o.SyncAlways = leafPort, false })
	}
	hub := startHub()
	leaf := natsFrom(t, "../../deploy/nats/leaf.conf", t.TempDir(), -1, func(o *server.Options) {
		for _, u := range o.LeafNode.Remotes[0].URLs {
			u.Host = fmt.Sprint("127.0.0.1:", leafPort)
		}
		o.LeafNode.ReconnectInterval = 100 * time.Millisecond
	})
	theirs := jetStream(t, leaf.ClientURL())
	if _, err := theirs.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}

	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "nats/context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]string{"domain": `"jetstream_domain": "hub"`, "prefix": `"jetstream_api_prefix": "$JS.hub.API"`, "absent": `"jetstream_domain": "away"`} {
		text := fmt.Sprintf(`{"url": %q, %s}`, leaf.ClientURL(), place)
		if err := os.WriteFile(filepath.Join(home, "nats/context", name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	f := newFleet(t, hub.ClientURL(), testSubscription)
	at := []string{"NATS_URL=" + leaf.ClientURL(), "NATS_JS_DOMAIN=hub"}
	f.settings = append(f.settings, at...)
	f.add()
	f.settings = append(f.settings, "NATS_JS_DOMAIN=", "XDG_CONFIG_HOME="+home, "NATS_CONTEXT=prefix")
	f.add()
	f.flow(400)
	f.flows(400)
	f.stop(f.leader())
	f.add()
	f.flows(400)
	leader := f.leader()
	natstest.Stop(hub)
	leader.says(&leader.stderr, `"code":"publish.paused"`)
	startHub()
	leader.says(&leader.stderr, "straight to NATS again")
	f.flows(400)
	for _, args := range []string{"status", "tail", "gaps", "doctor"} {
		asked := start(t, append(f.settings, at...), args)
		asked.exit(exitOK)
		if args != "gaps" && !strings.Contains(asked.stdout.String(), map[string]string{"status": leader.name, "tail": "meeting.started", "doctor": "doctor: pass"}[args]) {
			t.Errorf("%s says\n%s", args, &asked.stdout)
		}
	}
	f.finish()
	f.evidence().whole()

	for _, name := range []string{"domain", "absent"} {
		asked := start(t, []string{"XDG_CONFIG_HOME=" + home, "NATS_CONTEXT=" + name}, "tail")
		if name != "absent" {
			asked.exit(exitOK)
			continue
		}
		asked.exit(exitFailure)
		if !strings.Contains(asked.stderr.String(), "nobody answers below $JS.away.API (NATS_JS_DOMAIN,") {
			t.Errorf("of a domain that does not exist it says: %s", &asked.stderr)
		}
	}
}
