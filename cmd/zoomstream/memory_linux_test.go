package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMemoryLimit runs the program in a control group that limits memory.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	group, limit := "/sys/fs/cgroup/memory/zoomstream-test", "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Dir(group)); err != nil { // version 2 of control groups
		group, limit = "/sys/fs/cgroup/zoomstream-test", "memory.max"
	}
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Skip("no control group can be made: ", err)
	}
	t.Cleanup(func() { os.Remove(group) }) //nolint:errcheck // processes that end keep it
	if err := os.WriteFile(filepath.Join(group, limit), []byte("200000000"), 0o600); err != nil {
		t.Skip("no limit can be set: ", err)
	}
	_, settings := startZoom(t)
	p := startBy(t, []string{"/bin/sh", "-c", `echo $$ >` + group + `/cgroup.procs && exec "$0" "$@"`, os.Args[0]}, settings, "run")
	p.says(&p.stderr, `"code":"memory.limited","bytes":179`)
	p.signal(os.Interrupt)
	p.exit(exitOK)
}
