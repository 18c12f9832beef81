package main

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// Limits of the demo's output. The width applies wherever it goes: the show is made for a usual
// window.
const (
	demoWidth   = 80
	demoSubject = 43 // columns for a subject
	demoActs    = 20 // acts in the summary, the latest ones
)

// say prints what is done and its result, framed by lines so that it stands out among the events.
func (d *demo) say(format string, a ...any) { d.sayIn(paintOf(d.stdout).Strong, format, a...) }

func (d *demo) sayIn(paint func(string) string, format string, a ...any) {
	const edge, end = "── ", " ──"
	text := zstatus.Visible(fmt.Sprintf(format, a...))
	var lines []string
	for room := demoWidth - len([]rune(edge+end)); utf8.RuneCountInString(text) > room; {
		line := string([]rune(text)[:room])
		if i := strings.LastIndexByte(line, ' '); i > room/2 {
			line = line[:i]
		}
		lines = append(lines, line)
		text = strings.TrimLeft(text[len(line):], " ")
	}
	text = strings.Join(append(lines, text), "\n   ") + end
	for i, line := range strings.Split(edge+text, "\n") {
		if i > 0 {
			fmt.Fprintln(d.stdout)
		}
		fmt.Fprint(d.stdout, paint(line))
	}
	fmt.Fprintln(d.stdout)
}

// act is something done to a replica or to the connection, and what it cost.
type act struct {
	what     string
	from, to string // the leaders before and after
	cost     cost
}

// sayCost prints the cost of an act, and keeps it for the summary.
func (d *demo) sayCost(a act) {
	paint := paintOf(d.stdout)
	mark := paint.Good
	if a.cost.lost+a.cost.doubled > 0 {
		mark = paint.Warn
	}
	d.sayIn(mark, "%s leads: %s, %s lost, %d doubled", a.to, a.cost.gapText("no gap", "a gap of "), counted(a.cost.lost, "event"), a.cost.doubled)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acts = append(d.acts, a)
}

// conclude prints a summary of all acts and events.
func (d *demo) conclude() {
	d.mu.Lock()
	acts := d.acts[max(0, len(d.acts)-demoActs):]
	d.mu.Unlock()
	paint := paintOf(d.stdout)
	fmt.Fprintln(d.stdout)
	if len(acts) > 0 {
		fmt.Fprintln(d.stdout, paint.Strong(fmt.Sprintf("%-10s %-24s %-20s %6s %8s", "", "leader", "gap", "lost", "doubled")))
	}
	for _, a := range acts {
		leader := a.to
		if a.from != a.to {
			leader = cmp.Or(a.from, "nobody") + " → " + a.to
		}
		fmt.Fprintf(d.stdout, "%-10s %-24s %-20s %6d %8d\n", a.what, leader, a.cost.gapText("none", ""), a.cost.lost, a.cost.doubled)
	}
	if len(acts) > 0 {
		fmt.Fprintln(d.stdout)
	}
	sum := d.sim.Summary(demoSubscription)
	sent := int(sum.Emitted - sum.Copies - sum.Raw)
	stored := d.stored.events - d.stored.doubled
	lost := max(0, sent-stored)
	mark := paint.Good
	if lost+d.stored.doubled > 0 {
		mark = paint.Warn
	}
	fmt.Fprintln(d.stdout, mark(fmt.Sprintf("Zoom sent %d events: %d stored, %d lost, %d doubled.", sent, stored, lost, d.stored.doubled)))
}
