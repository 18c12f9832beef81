//go:build !race

// Excluded under the race detector: the previous program is built without it.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/message"
)

// beforeFirstRelease stands in for the previous release until there is one.
const beforeFirstRelease = "459d1b8417d6254cbca5ff9392183a7d558fee40"

// buildPrevious builds the previous release: the newest tag before this commit.
func buildPrevious(t *testing.T) (program string) {
	t.Helper()
	// Without what a git hook or a workspace sets: it is about this checkout, not about the copy.
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_") || strings.HasPrefix(v, "GOFLAGS=") || strings.HasPrefix(v, "GOWORK=")
	})
	run := func(dir, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(environ, "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	git := func(args ...string) (string, error) { return run(".", "git", args...) }
	release, err := git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^")
	if err != nil {
		release = beforeFirstRelease
	}
	tree := filepath.Join(t.TempDir(), "previous")
	if _, err := git("cat-file", "-e", release+"^{commit}"); err != nil {
		t.Skipf("the release before, %s, is not in this checkout: it is no clone, or not a whole one", release)
	}
	if out, err := git("clone", "-q", "--shared", "--no-checkout", "../..", tree); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := git("-C", tree, "checkout", "-q", release); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(tree, "go", "build", "-buildvcs=false", "-o", "zoomstream", "./cmd/zoomstream"); err != nil {
		t.Fatalf("%s: %v: %s", release, err, out)
	}
	t.Logf("the release before is %s", release)
	return filepath.Join(tree, "zoomstream")
}

// TestUpgrade runs the previous release beside this one. Under load, it replaces the old replicas
// one by one, and goes back in the same way, without loss or gap. Each version takes over when the
// other is killed, and starts in the other's data folder with events on disk.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	before := buildPrevious(t)
	t.Run("rolling", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, fleetNATS(t), testSubscription)
		f.program = before
		f.add()
		f.add()
		f.flow(400)
		f.flows(100)
		f.replaceBy(os.Args[0])
		f.replaceBy(before)
		f.finish()
		e := f.evidence()
		e.whole()
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, fleetNATS(t), testSubscription)
		f.program = before
		f.add()
		f.program = os.Args[0]
		f.add()
		f.flow(400)
		for n := range int64(2) {
			f.flows(100)
			leader := f.leader()
			f.kill(leader)
			f.sockets(n + 2)
			f.program = leader.cmd.Path
			f.add()
		}
		f.flows(100)
		f.finish()
		e := f.evidence()
		e.told(message.GapCrash, 2)
	})
	for name, releases := range map[string][2]string{"up": {before, os.Args[0]}, "down": {os.Args[0], before}} {
		t.Run("folder "+name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			o.program = releases[0]
			old := o.add()
			o.flow(400)
			o.flows(200)
			o.down()
			o.flows(400)
			o.onDisk(old)
			o.stop(old)
			o.program = releases[1]
			o.next()
		})
	}
}

// replaceBy replaces each replica by one of the given program, as a rolling update does.
func (f *fleet) replaceBy(program string) {
	f.t.Helper()
	f.program = program
	for _, old := range append([]*member(nil), f.alive...) {
		f.add()
		f.stop(old)
		f.flows(100)
	}
}
