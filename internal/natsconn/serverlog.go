package natsconn

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// serverLog writes nats-server's log. A normal start is twenty notices that only matter when something is wrong,
// hence debug. Trace, which shows payloads, is never switched on.
type serverLog struct {
	log    zerolog.Logger
	failed chan<- error

	mu      sync.Mutex
	minute  time.Time // when the one began that is counted
	lines   int       // of clients in it
	leftOut int       // since the last of them
}

// clientLines are written in a minute, of what clients did: each that is denied something is an error to the server, and
// whoever reaches the port could fill the disk with that.
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
	if strings.Contains(text, " - cid:") { // as the server names a client
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

// admit reports whether one more line of a client may be written, and how many were not since the last.
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

// Fatalf hands the error to the owner: with a logger of one's own the library does not end the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	err := &fatalError{text: fmt.Sprintf(format, v...)}
	for _, arg := range v {
		if cause, ok := arg.(error); ok {
			err.cause = cause
		}
	}
	select {
	case l.failed <- err:
	default: // the owner has one already
		l.log.Error().Str("code", "nats.server").Msg(err.text)
	}
}

// fatalError keeps the cause, which the server's formats (%v, %q) only print.
type fatalError struct {
	text  string
	cause error
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }
