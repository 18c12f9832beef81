package simulation

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// journal holds everything that was said, with the time since the start.
type journal struct {
	mu    sync.Mutex
	start time.Time
	lines []line
}

type line struct {
	at   time.Duration
	who  string
	text string
}

func (j *journal) add(who, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line{time.Since(j.start), who, text})
}

// note is the simulation's own line.
func (j *journal) note(format string, args ...any) {
	j.add("----", fmt.Sprintf(format, args...))
}

func (j *journal) print(to io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.lines {
		fmt.Fprintf(to, "%10.3fs %-8s %s\n", l.at.Seconds(), l.who, l.text)
	}
}

// writer takes the log of one replica.
func (j *journal) writer(who string) io.Writer { return logWriter{j, who} }

type logWriter struct {
	journal *journal
	who     string
}

func (w logWriter) Write(p []byte) (int, error) {
	w.journal.add(w.who, string(bytes.TrimSpace(p)))
	return len(p), nil
}
