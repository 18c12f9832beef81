package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/colour"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// printer is the output of commands. Much of what they print came from Zoom or NATS, so whatever a
// terminal would act on is escaped here, even if a command forgot to. Line breaks and tabs pass, so
// a text that must stay on its line also needs [zstatus.Visible].
//
// On a terminal that shows colours, the sequences of package colour pass, and no others.
type printer struct {
	out   io.Writer
	paint colour.Paint
}

func newPrinter(out io.Writer, environ []string) printer {
	return printer{out, colour.Paint(terminal(out) != nil && colourful(environ))}
}

func (p printer) Write(text []byte) (int, error) {
	if _, err := p.out.Write(p.visible(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

func (p printer) visible(text []byte) []byte {
	if p.paint {
		return colour.Around(text, zstatus.VisibleJSON)
	}
	return zstatus.VisibleJSON(text)
}

// paintOf returns how to colour what is printed to a writer.
func paintOf(out io.Writer) colour.Paint {
	p, _ := out.(printer)
	return p.paint
}

// colourful reports whether a terminal should get colours, by its type (TERM) and
// https://no-color.org.
func colourful(environ []string) bool {
	kind := ""
	for _, entry := range environ {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case "NO_COLOR":
			if value != "" {
				return false
			}
		case "TERM":
			kind = value
		}
	}
	return kind != "" && kind != "dumb"
}

// usualWidth is the width assumed for a terminal of unknown size, in columns.
const usualWidth = 80

// columns returns the width of a writer's terminal; 0 if it is none.
func columns(out io.Writer) int {
	screen := terminal(out)
	if screen == nil {
		return 0
	}
	if _, width := windowSize(screen); width > 0 {
		return width
	}
	return usualWidth
}

// terminal returns the terminal that a writer writes to; nil if it is none.
func terminal(w io.Writer) *os.File {
	if p, ok := w.(printer); ok {
		w = p.out
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}

// visibleEvent escapes what zerolog's console writer prints as it is: the message, and values that
// are neither strings, which it quotes, nor numbers.
func visibleEvent(event map[string]any) error {
	for name, value := range event {
		switch v := value.(type) {
		case string:
			if name == zerolog.MessageFieldName {
				event[name] = zstatus.Visible(v)
			}
		case json.Number:
		default:
			text, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
			event[name] = json.RawMessage(zstatus.VisibleJSON(text))
		}
	}
	return nil
}
