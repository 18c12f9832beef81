package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTable compares a run with an earlier one: by the ratio where there is one, otherwise by the
// value.
func TestTable(t *testing.T) {
	run := func(ours, theirs, ms float64) *figures {
		f := newFigures(1)
		f.add("burst 1 KiB", connector, ours)
		f.add("burst 1 KiB", bare, theirs)
		f.add("start to connected", connector, ms)
		f.summarize()
		return f
	}
	table := run(60_000, 100_000, 30).table(run(20_000, 40_000, 25))
	for _, want := range []string{
		"burst 1 KiB, events/s 60,000 100,000 – 0.60 ≥ 0.65 × 0.50 +20 %\n",
		"start to connected, ms 30.0 – – – ≤ 60 25.0 +20 %\n",
	} {
		if !strings.Contains(strings.Join(strings.Fields(table), " ")+"\n", strings.TrimSpace(want)) {
			t.Errorf("the table has no line %q:\n%s", want, table)
		}
	}
	for line := range strings.Lines(table) {
		if utf8.RuneCountInString(line) > 101 {
			t.Errorf("wider than 100 columns: %s", line)
		}
	}
}
