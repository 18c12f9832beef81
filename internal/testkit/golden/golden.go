// Package golden compares output with a file in testdata.
package golden

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update-golden", false, "write what was made into testdata")

// Compare fails the test unless got equals the file in testdata. With the flag -update-golden it
// writes the file first.
func Compare(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("this is not what %s has; go test -update-golden writes it: %s", file, firstDifference(got, string(want)))
	}
}

// firstDifference returns the first line where two texts differ, with context.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for n := range min(len(g), len(w)) {
		if g[n] != w[n] {
			return fmt.Sprintf("line %d:\n%s\nand should be\n%s", n+1, around(g, n), around(w, n))
		}
	}
	return fmt.Sprintf("%d lines, and should be %d", len(g), len(w))
}

func around(lines []string, n int) string {
	return strings.Join(lines[max(0, n-3):min(len(lines), n+3)], "\n")
}
