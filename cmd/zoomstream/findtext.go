package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

func quoted(s string) string { return `"` + zstatus.Visible(s) + `"` }

// writeJSON prints indented JSON that is safe for a terminal.
func writeJSON(out io.Writer, v any) error { return writeIndentedJSON(out, v, "  ") }

// writeJSONLine prints JSON that is safe for a terminal, on one line.
func writeJSONLine(out io.Writer, v any) error { return writeIndentedJSON(out, v, "") }

func writeIndentedJSON(out io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode as JSON: %w", err)
	}
	_, err := out.Write(zstatus.VisibleJSON(b.Bytes()))
	return err
}

// failed also prints the error as JSON, if JSON is wanted and there is nothing else to print:
// somebody who reads only the standard output must see it there.
func failed(p *process, asJSON bool, err error) error {
	if err == nil || !asJSON {
		return err
	}
	return errors.Join(err, writeJSON(p.stdout, failure{err.Error()}))
}

type failure struct {
	Error string `json:"error"`
}

// indented formats a body for people.
func indented(body []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, body, "    ", "  ") != nil {
		return []byte("    " + zstatus.Visible(string(body)))
	}
	return append([]byte("    "), zstatus.VisibleJSON(b.Bytes())...)
}

// moment formats a time in UTC, to the millisecond.
func moment(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// lasted formats a number of seconds for people.
func lasted(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
