package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// newLogger writes JSON lines, or coloured text for people: on a terminal with
// format auto, anywhere with console.
func newLogger(w io.Writer, level, format string) zerolog.Logger {
	if format == "console" || format == "auto" && terminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !terminal(w)}
	}
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(parsed).Hook(zerolog.HookFunc(stamp))
}

// setLevel changes the least level of all loggers.
func setLevel(level string) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	zerolog.SetGlobalLevel(parsed)
}

// stamp adds the time with nine digits; the library's own format for it is a
// global.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z"))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
