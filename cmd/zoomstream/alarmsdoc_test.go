package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/message"
)

const (
	rulesPage    = "deploy/prometheus/alerts.yaml"
	alarmChapter = "Alarms"
)

// alarmDoc is what the runbook says about one alarm.
type alarmDoc struct {
	name  string
	means string            // the paragraph "It means", as plain text
	when  map[string]string // the list "When": in short, raised when, cleared when, setting, severity
}

// readAlarmDocs reads the runbook's chapter on alarms. It fails the test unless the chapter has
// every alarm, in the order of package message.
func readAlarmDocs(t *testing.T) (docs []alarmDoc) {
	t.Helper()
	chapter, part, item := "", "", ""
	docLines(t, runbookPage, func(line string) {
		if level, heading, is := docHeading(line); is {
			if level == 1 {
				chapter = heading
			} else if chapter == alarmChapter {
				docs = append(docs, alarmDoc{name: heading, when: make(map[string]string)})
			}
			part = ""
			return
		}
		if chapter != alarmChapter || len(docs) == 0 {
			return
		}
		d := &docs[len(docs)-1]
		if bold, rest, found := strings.Cut(strings.TrimPrefix(line, "**"), "**"); found && strings.HasPrefix(line, "**") {
			part, line = bold, rest
		}
		switch {
		case part == "It means":
			d.means = strings.TrimSpace(d.means + " " + strings.TrimSpace(line))
		case part == "When" && strings.HasPrefix(line, "- "):
			name, text, _ := strings.Cut(line[2:], ": ")
			item = name
			d.when[item] = text
		case part == "When" && strings.HasPrefix(line, "  "):
			d.when[item] += " " + strings.TrimSpace(line)
		}
	})
	var names []string
	for i, d := range docs {
		docs[i].means = plainMarkdown(d.means)
		names = append(names, d.name)
		if d.means == "" || d.when["in short"] == "" || d.when["raised when"] == "" || d.when["cleared when"] == "" || d.when["severity"] == "" {
			t.Fatalf("%s does not say of %s what it means, in short too, when it is raised and cleared, and how severe it is", runbookPage, d.name)
		}
	}
	if all := append(message.SubscriptionAlarms(), message.ReplicaAlarms()...); !slices.Equal(names, all) {
		t.Errorf("%s has the alarms %v, and there are %v", runbookPage, names, all)
	}
	return docs
}

var markdownLink = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)

// plainMarkdown returns a text without its links and the marks of code spans.
func plainMarkdown(text string) string {
	return strings.ReplaceAll(markdownLink.ReplaceAllString(text, "$1"), "`", "")
}

// TestGeneratedAlarms: the table of alarms in docs/operating.md and the Prometheus rules for them
// match the runbook.
func TestGeneratedAlarms(t *testing.T) {
	var table, rules strings.Builder
	table.WriteString("| alarm | raised when | cleared when | setting |\n|---|---|---|---|\n")
	for i, d := range readAlarmDocs(t) {
		fmt.Fprintf(&table, "| [`%s`](runbook.md#%s) | %s | %s | %s |\n", d.name, d.name, d.when["raised when"], d.when["cleared when"], d.when["setting"])
		of := "subscription"
		if slices.Contains(message.ReplicaAlarms(), d.name) {
			of = "instance"
		}
		if i > 0 {
			rules.WriteString("\n")
		}
		fmt.Fprintf(&rules, `      - alert: %s
        expr: zoomstream_alarm{alarm=%q} == 1
        labels: {severity: %s}
        annotations:
          summary: '{{ $labels.%s }}: %s'
          description: >-
%s
          runbook: %s#%s
`, alertName(d.name), d.name, d.when["severity"], of, d.when["in short"], folded(strings.ToUpper(d.means[:1])+d.means[1:], 12, 116), runbookPage, d.name)
	}
	compareGenerated(t, operatingPage, "alarms", table.String())
	compareGenerated(t, rulesPage, "alarms", rules.String())
}

// alertName returns the name of an alarm's rule: ZoomstreamSpoolFull for spool-full.
func alertName(alarm string) string {
	name := "Zoomstream"
	for word := range strings.SplitSeq(alarm, "-") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// folded breaks a text into indented lines of at most width characters.
func folded(text string, indent, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && indent+len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	margin := strings.Repeat(" ", indent)
	return margin + strings.Join(append(lines, line), "\n"+margin)
}
