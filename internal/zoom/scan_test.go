package zoom

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestQuoted: strings are decoded with all their escapes, and invalid bytes are kept.
func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		`"a"`: "a", `""`: "", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u0041\u00e9\uD83E\uDD89"`: "Aé🦉",
		`"\ud83e"`: "\ufffd", `"\ud83e\u0041"`: "\ufffdA", `"\udd89\ud83e"`: "\ufffd\ufffd", "\"\xff\\n\xfe\"": "\xff\n\xfe",
		"\"0123456\x7f89abcdef\xc3\xa9\"": "0123456\x7f89abcdef\xc3\xa9",
	} {
		var got []byte
		s := newScanner([]byte(in))
		s.quoted(&got)
		if s.failed || s.at != len(in) || string(got) != want {
			t.Errorf("%s gives %q, want %q", in, got, want)
		}
	}
}

// TestScannerStops puts an invalid byte at each place of a string, since the scanner looks at eight
// or sixteen bytes at once, and nests values too deeply.
func TestScannerStops(t *testing.T) {
	for length := range 40 {
		text := []byte(`"` + strings.Repeat("x", length) + `"`)
		for i := range length {
			for _, odd := range []byte{'"', '\\', 0, '\n', 0x1f} {
				text[i+1] = odd
				if s := newScanner(text); (s.value() != nil && s.at == len(text)) != json.Valid(text) {
					t.Errorf("%q is read to byte %d", text, s.at)
				}
			}
			text[i+1] = 'x'
		}
	}
	deepest := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if s := newScanner([]byte(deepest)); s.value() == nil {
		t.Error("the deepest text is refused")
	}
	if s := newScanner([]byte("[" + deepest + "]")); s.value() != nil {
		t.Error("a deeper text is read")
	}
}

// FuzzScanner: the scanner accepts what encoding/json accepts, and decodes the same strings.
func FuzzScanner(f *testing.F) {
	for _, body := range zoomsim.Samples() {
		f.Add(body)
	}
	for _, text := range []string{`[1,-0.5e+7,0E-1,true,false,null,{"":[]},{}]`, `"\ud83e\udd89\/\\"`, `01`, `1.`, `[1,]`, `{"a":1,}`, `{"a"}`, "\"\xff\"", ` nul`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newScanner(text)
		kind, value := s.kind(), s.value()
		if s.peek() != 0 || s.at < len(text) {
			value = nil
		}
		if valid := json.Valid(text); (value != nil) != valid {
			t.Fatalf("%q: valid is %t", text, valid)
		}
		if value == nil || kind != '"' || !utf8.Valid(text) {
			return
		}
		var want string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		var got []byte
		s = newScanner(value)
		if s.quoted(&got); string(got) != want {
			t.Fatalf("%q says %q, want %q", value, got, want)
		}
	})
}
