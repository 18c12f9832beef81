//go:build !race

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/zoomstream/zoomstream/internal/colour"
)

// openTerminal opens a terminal of a size, and the side on which a person would see it.
func openTerminal(t *testing.T, rows, columns uint16) (terminal, screen *os.File) {
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
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, screen
}

// TestStatusWatchOnTerminal: on a terminal each output begins at the top, and does not scroll.
func TestStatusWatchOnTerminal(t *testing.T) {
	const rows = 12
	w := newStatusWorld(t)
	for n := range 40 {
		w.lead(fmt.Sprint("sub-", n), "zoomstream-0", w.now)
	}
	w.serve("connected")
	terminal, screen := openTerminal(t, rows, 200)
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
	go func() { // so that the program does not wait for a reader
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

// TestStatusOnTerminal: on a terminal no line is too wide, and there are colours unless they are
// turned off.
func TestStatusOnTerminal(t *testing.T) {
	const columns = 80
	w := newStatusWorld(t)
	for n := range 5 {
		w.lead(fmt.Sprintf("Hk3vQ9xYRz2mT8pLwA1bC%d", n), "zoomstream-connector-7d9f8b6c5d-x2x4q", w.now)
	}
	w.serve("connected")
	for setting, coloured := range map[string]bool{"TERM=xterm": true, "TERM=dumb": false, "NO_COLOR=1": false} {
		terminal, screen := openTerminal(t, 40, columns)
		p := &process{ctx: t.Context(), stdout: terminal, stderr: os.Stderr, environ: []string{"TERM=xterm", setting, "NATS_URL=" + w.srv.ClientURL()}}
		if code := run(p, []string{"status"}); code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		terminal.Close()
		var seen strings.Builder
		io.Copy(&seen, screen) //nolint:errcheck // the end of a terminal is an error
		if got := strings.Contains(seen.String(), colour.Paint(true).Good("connected")); got != coloured || !coloured && strings.Contains(seen.String(), "\x1b") {
			t.Errorf("%s: colours %t:\n%q", setting, got, &seen)
		}
		var shown strings.Builder
		colour.Around([]byte(seen.String()), func(text []byte) []byte {
			shown.Write(text)
			return nil
		})
		for line := range strings.Lines(shown.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); n > columns {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		if !strings.Contains(shown.String(), "- none, or not known") {
			t.Errorf("a mark is not explained:\n%s", &shown)
		}
	}
}
