package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/colour"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// repaint moves a terminal's cursor home and clears the screen from there.
const repaint = "\x1b[H\x1b[J"

// watch prints until ctx ends: over the previous output on a terminal, otherwise below it. Errors
// are shown and do not end it.
func (c *statusCmd) watch(p *process, js jetstream.JetStream, bucket string) error {
	again := time.NewTicker(c.Interval)
	defer again.Stop()
	for {
		text, err := c.ask(p, js, bucket)
		if p.ctx.Err() != nil {
			return nil
		}
		if err := c.show(p.stdout, text, err); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-p.ctx.Done():
			return nil
		}
	}
}

func (c *statusCmd) show(out io.Writer, text []byte, wrong error) error {
	if c.JSON { // one line each time
		if text == nil {
			return writeJSONLine(out, failure{wrong.Error()})
		}
		_, err := out.Write(text)
		return err
	}
	if text == nil {
		text = fmt.Appendf(nil, "%s  %s\n", time.Now().Format(time.DateTime), zstatus.Visible(wrong.Error()))
	}
	screen := terminal(out)
	if screen == nil {
		_, err := fmt.Fprintf(out, "--- %s\n%s", time.Now().UTC().Format(time.RFC3339), text)
		return err
	}
	if rows, columns := windowSize(screen); rows > 0 && columns > 0 {
		text = fit(text, rows, columns)
	}
	shown, _ := out.(printer)
	_, err := screen.Write(append([]byte(repaint), shown.visible(text)...)) // in a single write, or it flickers
	return err
}

// fit returns as much of a text as a window shows without scrolling, and a last line that counts
// the rest. The line below the text is for the cursor.
func fit(text []byte, rows, columns int) []byte {
	var heights []int
	all := 0
	for line := range bytes.Lines(text) {
		width := 0
		colour.Around(bytes.TrimSuffix(line, []byte("\n")), func(shown []byte) []byte {
			width += utf8.RuneCount(shown)
			return nil
		})
		heights = append(heights, max(1, (width+columns-1)/columns))
		all += heights[len(heights)-1]
	}
	if all < rows {
		return text
	}
	var b bytes.Buffer
	used, n := 2, 0 // the last line, and the cursor's
	for line := range bytes.Lines(text) {
		if used += heights[n]; used > rows {
			break
		}
		b.Write(line)
		n++
	}
	fmt.Fprintf(&b, "… and %s\n", counted(len(heights)-n, "more line"))
	return b.Bytes()
}
