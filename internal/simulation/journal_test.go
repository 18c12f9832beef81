package simulation

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// journal holds all log lines, with the time since the start.
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

// note adds a line of the simulation itself.
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

// keep writes the journal to a file that outlives the test, and returns the file's name.
func (j *journal) keep(seed uint64) string {
	file, err := os.CreateTemp("", fmt.Sprintf("zoomstream-seed-%d-*.log", seed))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	j.print(file)
	return file.Name()
}

// writer returns the writer for one replica's log.
func (j *journal) writer(who string) io.Writer { return logWriter{j, who} }

type logWriter struct {
	journal *journal
	who     string
}

func (w logWriter) Write(p []byte) (int, error) {
	w.journal.add(w.who, string(bytes.TrimSpace(p)))
	return len(p), nil
}
