package main

import (
	"fmt"
	"os"
	"strings"
)

// row is a line of the table.
type row struct {
	name, unit string
	budget     string // "": none; with ×, it applies to the ratio
}

// rows of the table, with the budgets of the design.
var rows = []row{
	{"burst 1 KiB", "events/s", "≥ 0.65 ×"},
	{"burst 300 B", "events/s", "≥ 0.65 ×"},
	{"burst 16 KiB", "events/s", "≥ 0.6 ×"},
	{"CPU 1 KiB", "µs/event", "≤ 9"},
	{"CPU 300 B", "µs/event", ""},
	{"CPU 16 KiB", "µs/event", ""},
	{"server's CPU 1 KiB", "µs/event", ""},
	{"allocations 1 KiB", "per event", "≤ 30"},
	{"latency 100/s p50", "µs", "≤ 1.4 ×"},
	{"latency 100/s p99", "µs", "≤ 2 ×"},
	{"latency 1000/s p50", "µs", "≤ 1.4 ×"},
	{"latency 1000/s p99", "µs", "≤ 2 ×"},
	{"latency 10000/s p50", "µs", "≤ 1.4 ×"},
	{"latency 10000/s p99", "µs", "≤ 2 ×"},
	{"idle memory", "MiB", "≤ 30"},
	{"peak memory 1 KiB", "MiB", "≤ 96"},
	{"peak memory 300 B", "MiB", "≤ 96"},
	{"peak memory 16 KiB", "MiB", "≤ 96"},
	{"peak memory catching up", "MiB", "≤ 96"},
	{"start to connected", "ms", "≤ 60"},
	{"catching up", "events/s", ""},
	{"NATS back to first event", "ms", ""},
}

// unitOf returns the unit of a measure; if it is not in the table, that of its kind.
func unitOf(name string) string {
	kind, _, _ := strings.Cut(name, " ")
	switch {
	case kind == "connected":
		return "s"
	case kind == "memory":
		return "MiB"
	case strings.Contains(name, "idle CPU"):
		return "ms/s"
	}
	for _, r := range rows {
		if r.name == name || strings.HasPrefix(r.name, kind+" ") {
			return r.unit
		}
	}
	return ""
}

// table formats the figures, at most 100 columns wide. If before is set, it shows the change since
// then: of the ratio, since machines differ, or else of the value.
func (f *figures) table(before *figures) string {
	var b strings.Builder
	line := func(cells ...string) {
		text := fmt.Sprintf("%-30s %10s %9s %11s %6s  %-8s", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
		if before != nil {
			text += fmt.Sprintf(" %9s %6s", cells[6], cells[7])
		}
		fmt.Fprintln(&b, strings.TrimRight(text, " "))
	}
	line("", connector, bare, node, "ratio", "budget", "committed", "change")
	for _, r := range rows {
		m := f.find(r.name)
		if m == nil {
			continue
		}
		was, change := changed(m, before)
		line(fmt.Sprintf("%s, %s", r.name, m.Unit), m.cell(connector), m.cell(bare), m.cell(node), ratio(m.Ratio), r.budget, was, change)
	}
	fmt.Fprintln(&b)
	for _, note := range f.Notes {
		fmt.Fprintln(&b, note)
	}
	fmt.Fprintf(&b, "ratio: %s to %s. Medians of %d rounds, %d cores, load before: %s.\n", connector, bare, f.Rounds, f.Machine.Cores, f.Machine.Load)
	return b.String()
}

func (m *figure) cell(contender string) string {
	value, ok := m.Median[contender]
	if !ok {
		return "–"
	}
	return shorten(value)
}

// changed compares a measure with that of an earlier run.
func changed(m *figure, before *figures) (was, change string) {
	if before == nil {
		return "", ""
	}
	old := before.find(m.Name)
	switch {
	case old == nil || old.Median[connector] == 0:
		return "–", ""
	case old.Ratio > 0 && m.Ratio > 0:
		return ratio(old.Ratio), percent(m.Ratio / old.Ratio)
	default:
		return shorten(old.Median[connector]), percent(m.Median[connector] / old.Median[connector])
	}
}

func percent(factor float64) string { return fmt.Sprintf("%+.0f %%", (factor-1)*100) }

func ratio(r float64) string {
	if r == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", r)
}

// shorten formats a value with three or four significant digits.
func shorten(value float64) string {
	switch {
	case value < 10:
		return fmt.Sprintf("%.2f", value)
	case value < 100:
		return fmt.Sprintf("%.1f", value)
	case value < 10_000:
		return fmt.Sprintf("%.0f", value)
	default:
		return fmt.Sprintf("%d,%03d", int(value)/1000, int(value)%1000)
	}
}

const beginFigures, endFigures = "<!-- figures -->\n", "<!-- /figures -->\n"

// markdown returns the part of the document that a run writes.
func (f *figures) markdown() string {
	return fmt.Sprintf("%sTaken on %s, %s, %d cores (%s), %s:\n\n```\n%s```\n%s", beginFigures,
		f.Taken.Format("2 January 2006"), f.Machine.Platform, f.Machine.Cores, f.Machine.Processor, f.Machine.Go, f.table(nil), endFigures)
}

// writeMarkdown replaces the part of a file between the marks.
func (f *figures) writeMarkdown(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), beginFigures)
	_, tail, ended := strings.Cut(rest, endFigures)
	if !found || !ended {
		return fmt.Errorf("%s has no lines %s%s", file, beginFigures, endFigures)
	}
	return os.WriteFile(file, []byte(head+f.markdown()+tail), 0o644)
}
