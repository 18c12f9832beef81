package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestTLSFirst runs replicas on a server with deploy/nats/tls.conf and the context of
// docs/configuration.md. Without a context, doctor says what is needed.
func TestTLSFirst(t *testing.T) {
	t.Parallel()
	dir, home := t.TempDir(), t.TempDir()
	ca, key := natstest.Certificate(t, dir, "ca", nil, nil)
	natstest.Certificate(t, dir, "server", ca, key)
	natstest.Certificate(t, dir, "client", ca, key)
	conf, err := os.ReadFile("../../deploy/nats/tls.conf")
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "tls.conf")
	write(file, strings.ReplaceAll(string(conf), `"./tls/`, `"`+dir+"/"))
	srv := natsFrom(t, file, t.TempDir(), -1, func(o *server.Options) { o.SyncAlways = false })
	url := fmt.Sprint("nats://127.0.0.1:", srv.Addr().(*net.TCPAddr).Port)

	context := regexp.MustCompile("(?s)```\n({[^`]*\"tls_first\"[^`]*})\n```").FindStringSubmatch(readDoc(t, settingsPage))
	if context == nil {
		t.Fatalf("%s has no context with tls_first", settingsPage)
	}
	write(filepath.Join(home, "nats/context/secured.json"), strings.NewReplacer("nats://nats.example.com:4222", url, "/etc/zoomstream/", dir+"/").Replace(context[1]))

	nc, err := nats.Connect(url, nats.RootCAs(dir+"/ca.crt"), nats.ClientCert(dir+"/client.crt", dir+"/client.key"), nats.TLSHandshakeFirst())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f := newFleet(t, "", testSubscription)
	f.js = natstest.JetStream(t, nc)
	f.settings = append(f.settings, "XDG_CONFIG_HOME="+home, "NATS_CONTEXT=secured")
	f.add()
	f.add()
	f.flow(400)
	f.flows(400)
	f.stop(f.leader())
	f.flows(400)
	asked := start(t, f.settings, "doctor")
	asked.exit(exitOK)
	f.finish()
	f.evidence().whole()

	without := start(t, append(f.settings, "NATS_CONTEXT=", "NATS_URL="+url, "NATS_CA="+dir+"/ca.crt", "NATS_CERT="+dir+"/client.crt", "NATS_KEY="+dir+"/client.key"), "doctor")
	<-without.exited
	if !strings.Contains(without.stdout.String(), "set tls_first: true in a context") {
		t.Errorf("without a context, doctor says:\n%s", &without.stdout)
	}
}
