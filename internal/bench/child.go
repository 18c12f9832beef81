package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a measured process, or a helper process.
type child struct {
	name    string
	cmd     *exec.Cmd
	log     string // file with its standard error
	stdin   io.WriteCloser
	reports chan report // from its standard output, until that ends
	exited  chan struct{}
}

// report is a JSON line from a child. Times are in Unix nanoseconds.
type report struct {
	Address   string `json:"address,omitempty"`   // where it listens
	Connected int64  `json:"connected,omitempty"` // when it told a client that it is connected, or connected itself
	Started   int64  `json:"started,omitempty"`   // when it started an order
	Ended     int64  `json:"ended,omitempty"`     // when it finished the order
	Allocated uint64 `json:"allocated,omitempty"` // objects allocated between the two
	Error     string `json:"error,omitempty"`
}

// startChild starts a process in a folder with only the given environment, PATH and TMPDIR. It ends
// with ctx at the latest.
func startChild(ctx context.Context, name, dir string, environ []string, program string, args ...string) (*child, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{name: name, log: log.Name(), reports: make(chan report, 16), exited: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, program, args...)
	c.cmd.Dir, c.cmd.Stderr = dir, log
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}, environ...)
	stdout, err := c.cmd.StdoutPipe()
	if err == nil {
		c.stdin, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { // ends with the process; stop waits for it
		defer close(c.exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil && r != (report{}) {
				c.reports <- r
			}
		}
		c.cmd.Wait() //nolint:errcheck // ProcessState tells
		close(c.reports)
	}()
	return c, nil
}

// next returns the child's next report.
func (c *child) next(ctx context.Context) (report, error) {
	select {
	case r, ok := <-c.reports:
		if !ok {
			return r, c.failed(errors.New("it ended by itself"))
		}
		if r.Error != "" {
			return r, c.failed(errors.New(r.Error))
		}
		return r, nil
	case <-ctx.Done():
		return report{}, c.failed(context.Cause(ctx))
	}
}

// tell sends an order to the child.
func (c *child) tell(o order) error {
	if err := json.NewEncoder(c.stdin).Encode(o); err != nil {
		return c.failed(err)
	}
	return nil
}

// patience bounds the time for an order; the longest take half a minute.
const patience = 5 * time.Minute

// do sends an order and waits until it is finished.
func (c *child) do(ctx context.Context, o order) (report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the events were not sent within %v", patience))
	defer cancel()
	if err := c.tell(o); err != nil {
		return report{}, err
	}
	r, err := c.next(ctx)
	if err == nil && r.Ended == 0 {
		err = c.failed(errors.New("the connection was made anew in the midst of a measurement"))
	}
	return r, err
}

// failed adds the end of the child's log to an error.
func (c *child) failed(err error) error {
	log, _ := os.ReadFile(c.log)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return fmt.Errorf("%s: %w\n%s", c.name, err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
}

// stop ends the process with a signal and waits for it.
func (c *child) stop(s syscall.Signal) {
	c.cmd.Process.Signal(s) //nolint:errcheck // it may have ended
	for range c.reports {   // discard the rest
	}
	<-c.exited
}

// cpu returns the CPU time of the process, in steps of 10 ms.
func (c *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(c.proc("stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // after the name, starting with field 3
	user, err := strconv.ParseInt(fields[14-3], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[15-3], 10, 64)
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(user+system) * tick, err
}

// memory returns a value of the process's status in MiB: VmRSS, or VmHWM (the peak).
func (c *child) memory(name string) (float64, error) {
	text, err := os.ReadFile(c.proc("status"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	var kilobytes float64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0, fmt.Errorf("%s of %s: %w", name, c.name, err)
	}
	return kilobytes / 1024, nil
}

func (c *child) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid), file)
}
