//go:build !race

// Excluded under the race detector, which would only slow Node down: it is no Go program.

package natsconn

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestNodeClient: the official client for Node can read with the rights of nats.conf's reader, and
// fails without one of them.
func TestNodeClient(t *testing.T) {
	if testing.Short() {
		t.Skip("gets packages, and runs Node")
	}
	dir := installNodeReader(t)
	if out, err := runNodeReader(t, dir, ""); err != nil || !strings.Contains(out, `Permissions Violation for Publish to "zoom.forged"`) {
		t.Errorf("with the reader's rights: %v\n%s", err, out)
	}
	const needed = "$JS.API.CONSUMER.DURABLE.CREATE.ZOOM.>"
	if out, err := runNodeReader(t, dir, needed); err == nil {
		t.Errorf("without the right to publish %s it works: %s", needed, out)
	}
}

// runNodeReader runs the client against a server of its own, whose reader lacks one right; empty:
// none.
func runNodeReader(t *testing.T, dir, without string) (string, error) {
	t.Helper()
	options := natstest.UsersConf(t, confFile, password)
	for _, u := range options.Users {
		if u.Username == "reader" && without != "" {
			takeRight(t, u, without)
		}
	}
	srv := runServer(t, options)
	connector := as(t, srv, "zoomstream")
	likeTheConnector(t, connector.Conn)
	client := exec.CommandContext(t.Context(), "node", "reader.js")
	client.Dir = dir
	client.Env = append(os.Environ(), "NATS_URL="+srv.ClientURL(), "NATS_PASSWORD="+password)
	out, err := client.CombinedOutput()
	return string(out), err
}

func takeRight(t *testing.T, u *server.User, right string) {
	t.Helper()
	var kept []string
	for _, subject := range u.Permissions.Publish.Allow {
		if subject != right {
			kept = append(kept, subject)
		}
	}
	if len(kept) == len(u.Permissions.Publish.Allow) {
		t.Fatalf("the reader has no right to publish %s", right)
	}
	u.Permissions.Publish.Allow = kept
}

// installNodeReader returns a folder with the version of the client that the example pins.
func installNodeReader(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("not run: this machine has no %s", program)
		}
	}
	dir := t.TempDir()
	for _, from := range []string{"../../examples/node-webhook/package.json", "../../examples/node-webhook/package-lock.json", "testdata/reader.js"} {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(from)), text, 0o600))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("not run: npm ci does not get the packages (%v): %s", err, out)
	}
	return dir
}
