package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// printer is what commands print with. Much of what they print came from Zoom or
// NATS: what a terminal would obey is made visible here, whoever forgot to do so.
// Line breaks and tabs pass, so a text that must stay on its line needs
// [zstatus.Visible] as well.
type printer struct{ out io.Writer }

func (p printer) Write(text []byte) (int, error) {
	if _, err := p.out.Write(zstatus.VisibleJSON(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// terminal is the terminal that a writer writes to; nil if it is none.
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

// visibleEvent makes visible what zerolog's console leaves as it is: the message, and
// what is neither a text, which it quotes, nor a number.
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
