package natsconn

import (
	"fmt"

	"github.com/rs/zerolog"
)

// serverLog writes nats-server's log. A normal start is twenty notices that only matter when something is wrong,
// hence debug. Trace, which shows payloads, is never switched on.
type serverLog struct {
	log    zerolog.Logger
	failed chan<- error
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug().Str("code", "nats.server").Msgf(format, v...)
}
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn().Str("code", "nats.server").Msgf(format, v...)
}
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error().Str("code", "nats.server").Msgf(format, v...)
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
