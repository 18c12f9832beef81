package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

// newLogger writes JSON lines, or coloured text for people: on a terminal with
// format auto, anywhere with console.
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
