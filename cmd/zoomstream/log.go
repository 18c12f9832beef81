package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

// newLogger writes JSON lines, or text for people: coloured on a terminal unless format is json,
// plain elsewhere if format is console.
func newLogger(w io.Writer, level, format string) zerolog.Logger {
	if screen := terminal(w); screen != nil && format != "json" {
		w = zerolog.ConsoleWriter{Out: screen, TimeFormat: "15:04:05.000", FormatPrepare: visibleEvent}
	} else if format == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", FormatPrepare: visibleEvent, NoColor: true}
	}
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(parsed).Hook(zerolog.HookFunc(stamp))
}

// setLevel sets the minimum level of all loggers.
func setLevel(level string) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel
	}
	zerolog.SetGlobalLevel(parsed)
}

// stamp adds the time with nine digits. The library's own time format is a global variable.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z"))
}
