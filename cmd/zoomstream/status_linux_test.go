//go:build !race

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal opens a terminal of so many rows, and what a person would see it by.
func openTerminal(t *testing.T, rows uint16) (terminal, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 200}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, screen
}

// On a terminal each output begins at its top, and does not scroll.
func TestStatusWatchOnTerminal(t *testing.T) {
	const rows = 12
	w := newStatusWorld(t)
	for n := range 40 {
		w.lead(fmt.Sprint("sub-", n), "zoomstream-0", w.now)
	}
	w.serve("connected")
	terminal, screen := openTerminal(t, rows)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		p := &process{ctx: ctx, stdout: terminal, stderr: os.Stderr, environ: []string{"NATS_URL=" + w.srv.ClientURL()}}
		ended <- run(p, []string{"status", "--watch", "--interval=20ms"})
	}()
	var seen strings.Builder
	for buffer := make([]byte, 4096); strings.Count(seen.String(), repaint) < 3; {
		n, err := screen.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buffer[:n])
	}
	cancel()
	go func() { // so that it does not wait for a reader
		for buffer := make([]byte, 4096); ; {
			if _, err := screen.Read(buffer); err != nil {
				return
			}
		}
	}()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, output := range strings.Split(seen.String(), repaint)[1:3] {
		if n := strings.Count(output, "\n"); n > rows-1 || !strings.Contains(output, " more lines\r\n") || !strings.Contains(output, "\nsub-7 ") {
			t.Errorf("%d lines in %d rows:\n%s", n, rows, output)
		}
	}
}
