package colour

import (
	"bytes"
	"strings"
	"testing"
)

func TestPaint(t *testing.T) {
	if got := Paint(false).Bad("x") + Paint(true).Good(""); got != "x" {
		t.Errorf("%q", got)
	}
	if got, want := Paint(true).Bad("x"), "\x1b[1;31mx\x1b[0m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestAround: only this package's own marks count as marks.
func TestAround(t *testing.T) {
	p := Paint(true)
	upper := func(text []byte) []byte { return bytes.ReplaceAll(bytes.ToUpper(text), []byte("\x1b"), []byte("ESC")) }
	text := "a" + p.Good("b") + p.Warn("c") + p.Bad("d") + p.Strong("e") + p.Faint("f") + "\x1b[2J\x1b"
	want := "A" + p.Good("B") + p.Warn("C") + p.Bad("D") + p.Strong("E") + p.Faint("F") + "ESC[2JESC"
	if got := string(Around([]byte(text), upper)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	plain := Around([]byte(strings.TrimSuffix(text, "\x1b[2J\x1b")), func(text []byte) []byte { return text })
	if string(plain) != strings.TrimSuffix(text, "\x1b[2J\x1b") {
		t.Errorf("%q", plain)
	}
}
