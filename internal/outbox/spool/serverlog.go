package spool

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// serverLog receives the server's log. Its errors and warnings are about the disk; the
// rest is for debugging.
type serverLog struct {
	log   zerolog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug().Str("code", "spool.server").Msgf(format, v...)
}
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error().Str("code", "spool.server").Msgf(format, v...)
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// Warnf logs warnings as information: most of them say how the server recovers from a
// crash. It drops the warning about maxRecord, which is meant for servers with clients.
func (l *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Maximum payloads") {
		l.log.Info().Str("code", "spool.server").Msgf(format, v...)
	}
}

// Fatalf records why the server did not start. It does not end the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
}

func (l *serverLog) err() error {
	if text := l.fatal.Load(); text != nil {
		return fmt.Errorf("%s", *text)
	}
	return nil
}
