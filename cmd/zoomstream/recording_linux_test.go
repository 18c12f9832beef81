//go:build !race

package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var recording = flag.String("recording", "", "record the demo and write the picture to this file")

const (
	recordingRows  = 30
	recordingHold  = 8 * time.Second // how long the end is shown before it starts over
	recordingLine  = 17              // height of a line, in pixels
	recordingCell  = 8.4             // width of a character, in pixels
	recordingFrame = 12
)

// recordedLine is a line of the demo's output, and when it appeared.
type recordedLine struct {
	text string
	at   time.Duration
}

// TestRecording records the demo, on a terminal of the usual width, as a moving picture.
func TestRecording(t *testing.T) {
	if *recording == "" {
		t.Skip("no -recording")
	}
	terminal, screen := openTerminal(t, recordingRows, demoWidth)
	var lines []recordedLine
	read := make(chan struct{})
	go func() {
		defer close(read)
		var text strings.Builder
		began := time.Now()
		for buffer := make([]byte, 4096); ; {
			n, err := screen.Read(buffer)
			for _, c := range buffer[:n] {
				if c == '\n' {
					lines = append(lines, recordedLine{strings.TrimRight(text.String(), " \r"), time.Since(began)})
					text.Reset()
				} else {
					text.WriteByte(c)
				}
			}
			if err != nil { // at its end, a terminal returns an error
				return
			}
		}
	}()
	p := &process{ctx: t.Context(), stdout: terminal, stderr: os.Stderr, environ: append(os.Environ(), "ZS_TEST_MAIN=1", "TERM=xterm", "NO_COLOR="), ports: usualPorts}
	if code := run(p, []string{"demo", "--duration=19s"}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	terminal.Close()
	<-read
	if err := os.WriteFile(*recording, []byte(recordingSVG(lines)), 0o644); err != nil {
		t.Fatal(err)
	}
}

var recordedMark = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// recordingSVG returns a picture that shows the lines one after another, as a terminal does, and
// starts over. Where pictures do not move, it shows the end.
func recordingSVG(lines []recordedLine) string {
	classes := map[string]string{"1": "strong", "2": "faint", "32": "good", "33": "warn", "1;31": "bad"}
	width, height := demoWidth*recordingCell+2*recordingFrame, recordingRows*recordingLine+2*recordingFrame
	whole := lines[len(lines)-1].at + recordingHold
	offset := func(n int) int { return (recordingRows - n) * recordingLine }
	var moves, times []string
	for i, line := range lines {
		if i+1 < len(lines) && lines[i+1].at-line.at < 20*time.Millisecond { // printed together with the next line
			continue
		}
		share := fmt.Sprintf("%.4f", line.at.Seconds()/whole.Seconds())
		if len(times) == 0 {
			share = "0"
		}
		times, moves = append(times, share), append(moves, fmt.Sprintf("0 %d", offset(i+1)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14">
<title>zoomstream demo: events, a handover, a crash, and what they cost</title>
<style>text{fill:#d6deeb;white-space:pre}.strong{font-weight:bold;fill:#fff}.faint{fill:#7f8c9d}.good{fill:#7ee787}.warn{fill:#f2cc60}.bad{fill:#ff7b72;font-weight:bold}</style>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
<svg x="%d" y="%d" width="%.0f" height="%d"><g transform="translate(0 %d)">
<animateTransform attributeName="transform" type="translate" calcMode="discrete" dur="%.2fs" repeatCount="indefinite" keyTimes="%s" values="%s"/>
`, width, height, recordingFrame, recordingFrame, width-2*recordingFrame, recordingRows*recordingLine, offset(len(lines)),
		whole.Seconds(), strings.Join(times, ";"), strings.Join(moves, ";"))
	for i, line := range lines {
		if line.text == "" {
			continue
		}
		text := html.EscapeString(recordedMark.ReplaceAllString(line.text, "\x00$1\x00"))
		var spans strings.Builder
		column := 0
		for n, part := range strings.Split(text, "\x00") {
			if n%2 == 1 {
				if spans.Len() > 0 && strings.Count(spans.String(), "<tspan") > strings.Count(spans.String(), "</tspan") {
					spans.WriteString("</tspan>")
				}
				if class := classes[part]; class != "" {
					fmt.Fprintf(&spans, `<tspan class="%s">`, class)
				}
				continue
			}
			column += len([]rune(html.UnescapeString(part)))
			spans.WriteString(part)
		}
		fmt.Fprintf(&b, `<text y="%d" textLength="%.0f" xml:space="preserve">%s</text>`+"\n", i*recordingLine+13, float64(column)*recordingCell, spans.String())
	}
	b.WriteString("</g></svg>\n</svg>\n")
	return b.String()
}

// TestRecordingIsThere: the README's picture shows what it should, and is small enough to load
// quickly.
func TestRecordingIsThere(t *testing.T) {
	text, err := os.ReadFile("../../docs/demo.svg")
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 100_000 {
		t.Errorf("it has %d bytes", len(text))
	}
	for decoder := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, word := range []string{"handover: replica-", "crash: replica-", "zoom._bridge.gap", "Zoom sent ", " 0 doubled."} {
		if !strings.Contains(string(text), word) {
			t.Errorf("it does not show %q", word)
		}
	}
}
