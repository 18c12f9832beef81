package natsconn

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// serverLog receives nats-server's log. A normal start logs twenty notices that matter only if
// something goes wrong, hence debug. Trace, which shows payloads, is never switched on.
type serverLog struct {
	log    zerolog.Logger
	failed chan<- error

	mu      sync.Mutex
	minute  time.Time // start of the minute being counted
	lines   int       // lines about clients in that minute
	leftOut int       // lines dropped since the last one written
}

// clientLines limits the lines about clients per minute. The server logs an error for each denied
// operation, so anybody who reaches the port could otherwise fill the disk.
const clientLines = 30

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug().Str("code", "nats.server").Msgf(format, v...)
}
func (l *serverLog) Warnf(format string, v ...any) {
	l.write(zerolog.WarnLevel, fmt.Sprintf(format, v...))
}
func (l *serverLog) Errorf(format string, v ...any) {
	l.write(zerolog.ErrorLevel, fmt.Sprintf(format, v...))
}
func (l *serverLog) write(level zerolog.Level, text string) {
	leftOut := 0
	if strings.Contains(text, " - cid:") { // the server's mark for a client
		var admitted bool
		if leftOut, admitted = l.admit(time.Now()); !admitted {
			return
		}
	}
	line := l.log.WithLevel(level).Str("code", "nats.server")
	if leftOut > 0 {
		line.Int("left_out", leftOut)
	}
	line.Msg(text)
}

// admit reports whether another line about a client may be written, and how many were dropped since
// the last.
func (l *serverLog) admit(now time.Time) (leftOut int, admitted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute {
		l.minute, l.lines = now, 0
	}
	if l.lines >= clientLines {
		l.leftOut++
		return 0, false
	}
	leftOut, l.leftOut = l.leftOut, 0
	l.lines++
	return leftOut, true
}

func (l *serverLog) Debugf(format string, v ...any) {
	l.log.Trace().Str("code", "nats.server").Msgf(format, v...)
}
func (l *serverLog) Tracef(string, ...any) {}

// Fatalf hands the error to the owner. With a custom logger the library does not end the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	err := &fatalError{text: fmt.Sprintf(format, v...)}
	for _, arg := range v {
		if cause, ok := arg.(error); ok {
			err.cause = cause
		}
	}
	select {
	case l.failed <- err:
	default: // the owner already has one
		l.log.Error().Str("code", "nats.server").Msg(err.text)
	}
}

// fatalError keeps the cause as an error; the server's formats (%v, %q) only print it.
type fatalError struct {
	text  string
	cause error
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }
