package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// writeMatch prints one message and its path, but nothing of its body.
func writeMatch(out io.Writer, m inspect.Match, f *inspect.Findings, again repetitions) {
	fmt.Fprintf(out, "#%d  %s\n", m.Sequence, zstatus.Visible(m.Subject))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "  %s\t%s\n", name, value) }
	row("found by", zstatus.Visible(m.Matched))
	row("event", zstatus.Visible(cmp.Or(m.Event, "none")))
	row("message id", zstatus.Visible(cmp.Or(m.MessageID, "none")))
	row("tracking id", zstatus.Visible(cmp.Or(m.TrackingID, "none")))
	row("subscription", zstatus.Visible(cmp.Or(m.Subscription, "none")))
	row("epoch, number", fmt.Sprintf("%d, %d", m.Epoch, m.Seq))
	row("signature", zstatus.Visible(cmp.Or(m.Signature, "not checked")))
	row("bytes", fmt.Sprint(m.Bytes))
	for _, line := range way(m.Hops) {
		row(line[0], line[1])
	}
	row("repetitions", repeated(m.MessageID, again))
	copies, others := companions(m, f)
	if len(copies) > 0 {
		row("stored again", some(copies)+": under the same message id, after the duplicate window")
	}
	if len(others) > 0 {
		row("same tracking id", some(others)+": events of one operation")
	}
	table.Flush() //nolint:errcheck // as any other print
}

// way returns the hops, each with the time since the previous known one.
func way(h inspect.Hops) (lines [][2]string) {
	var before time.Time
	var from string
	for _, hop := range []struct {
		name string
		at   time.Time
	}{{"happened", h.Event}, {"sent by Zoom", h.Sent}, {"received", h.Received}, {"stored", h.Stored}} {
		if hop.at.IsZero() {
			lines = append(lines, [2]string{hop.name, "unknown"})
			continue
		}
		text := moment(hop.at)
		if !before.IsZero() {
			text += "  " + apart(hop.at.Sub(before), from == "sent by Zoom" || hop.name == "sent by Zoom")
		}
		lines = append(lines, [2]string{hop.name, text})
		before, from = hop.at, hop.name
	}
	return lines
}

// apart formats the time between two hops. Zoom gives the time of sending in whole seconds.
func apart(d time.Duration, coarse bool) string {
	if coarse {
		return fmt.Sprintf("%+.1f s (to the second)", d.Seconds())
	}
	return fmt.Sprintf("%+.3f s", d.Seconds())
}

// repeated describes what the replicas know about repetitions of a message.
func repeated(id string, again repetitions) string {
	if !again.Known {
		return "unknown: no replica answers"
	}
	var lines []string
	for _, a := range again.Answers {
		for _, s := range a.Seen {
			if s.ID == id && s.Times > 0 {
				lines = append(lines, fmt.Sprintf("%d times at %s, recognised by %s, the last at %s", s.Times, zstatus.Visible(a.Replica),
					map[bool]string{true: "the replica", false: "the stream"}[s.Where == "local"], moment(s.Last)))
			}
		}
	}
	if len(lines) == 0 {
		return "none known to " + counted(len(again.Answers), "replica")
	}
	return strings.Join(lines, "; ")
}

// companions returns the other messages with the same message id, and those with the same tracking
// id.
func companions(m inspect.Match, f *inspect.Findings) (copies, others []string) {
	add := func(sequence uint64, subject, id, tracking string) {
		place := fmt.Sprintf("#%d %s", sequence, zstatus.Visible(subject))
		switch {
		case sequence == m.Sequence:
		case id == m.MessageID && id != "":
			copies = append(copies, place)
		case tracking == m.TrackingID && tracking != "":
			others = append(others, place)
		}
	}
	for _, o := range f.Matches {
		add(o.Sequence, o.Subject, o.MessageID, o.TrackingID)
	}
	for _, o := range f.Siblings {
		add(o.Sequence, o.Subject, o.MessageID, o.TrackingID)
	}
	return copies, others
}

// some formats the first elements of a list.
func some(list []string) string {
	const shown = 5
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}
