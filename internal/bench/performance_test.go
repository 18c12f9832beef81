package main

import (
	"os"
	"strings"
	"testing"
)

// TestPerformanceDocument compares the table in docs/performance.md with the committed figures.
// -update writes both.
func TestPerformanceDocument(t *testing.T) {
	f, err := readFigures("../../docs/performance.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), f.markdown()) {
		t.Errorf("docs/performance.md does not have the figures of docs/performance.json:\n%s", f.markdown())
	}
}
