package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoFamily is a demo and its replicas, which are found by a mark in their environment.
type demoFamily struct {
	*program
	mark string
}

func startFamily(t *testing.T) demoFamily {
	t.Helper()
	mark := "DEMO_TEST=" + t.TempDir()
	p := start(t, []string{mark}, "demo", "--rate", "50", "--no-script")
	f := demoFamily{p, mark}
	t.Cleanup(func() {
		for _, pid := range f.replicas() {
			t.Errorf("process %d is left behind", pid)
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have just ended
		}
	})
	demoSays(p, `#10 `)
	return f
}

// replicas returns the process ids of the demo's replicas.
func (f demoFamily) replicas() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, _ := os.ReadFile(file) // it may have just ended
		entries := "\x00" + string(environ)
		if !strings.Contains(entries, "\x00"+f.mark+"\x00") || !strings.Contains(entries, "\x00ZOOMSTREAM_REPLICA=") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (f demoFamily) await(replicas int) []int {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pids := f.replicas()
		if len(pids) == replicas {
			return pids
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d replicas run, not %d:\n%s%s", len(pids), replicas, &f.stdout, &f.stderr)
		}
	}
}

// TestDemoLeavesNobody: no replica outlives the demo, however it ends.
func TestDemoLeavesNobody(t *testing.T) {
	t.Parallel()
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		f := startFamily(t)
		f.await(2)
		f.signal(os.Interrupt)
		f.exit(exitOK)
		f.await(0)
	})
	t.Run("kill -9", func(t *testing.T) {
		t.Parallel()
		f := startFamily(t)
		f.await(2)
		f.signal(syscall.SIGKILL)
		<-f.exited
		f.await(0)
	})
	t.Run("a replica that does not heed", func(t *testing.T) {
		t.Parallel()
		f := startFamily(t)
		if err := syscall.Kill(f.await(2)[0], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		f.signal(os.Interrupt)
		f.exit(exitOK)
		f.await(0)
	})
	t.Run("second Ctrl-C", func(t *testing.T) {
		t.Parallel()
		f := startFamily(t)
		f.await(2)
		// Its first signal waits for an event that a frozen Zoom has yet to send.
		zoom := demoSays(f.program, `'(http://.*/control/)cut'`)[1]
		for _, action := range []string{"freeze", "emit?event=meeting.started&subscription=" + demoSubscription} {
			answer, err := http.Post(zoom+action, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", action, answer.Status)
			}
		}
		for ended := false; !ended; {
			f.cmd.Process.Signal(os.Interrupt) //nolint:errcheck // it may have just ended
			select {
			case <-f.exited:
				ended = true
			case <-time.After(50 * time.Millisecond):
			}
		}
		if state := f.cmd.ProcessState.String(); state != "signal: interrupt" {
			t.Errorf("it ended with %s:\n%s", state, &f.stdout)
		}
		f.await(0)
	})
}

// TestDemoReplicaDies: the demo reports a replica that was killed, and starts it again.
func TestDemoReplicaDies(t *testing.T) {
	t.Parallel()
	f := startFamily(t)
	pids := f.await(2)
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pids[0]) + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := bytes.Cut(environ, []byte("ZOOMSTREAM_REPLICA="))
	name, _, _ = bytes.Cut(name, []byte{0})
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	demoSays(f.program, `^── `+string(name)+` ended by itself: signal: killed ──$`)
	demoSays(f.program, `^── `+string(name)+` is started again ──$`)
	f.await(2)
	f.signal(os.Interrupt)
	f.exit(exitOK)
}
