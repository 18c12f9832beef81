//go:build unix && !race

package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/tools/doctor"
)

const alertsFile = "../../deploy/prometheus/alerts.yaml"

// runbookEntry is what the runbook has under one heading of the second level.
type runbookEntry struct {
	chapter, heading string
	parts            []string // the bold words at the beginning of its paragraphs
	see              string   // the paragraph "You see"
	spans            []runbookSpan
	steps            int
}

// runbookSpan is a quotation in that paragraph.
type runbookSpan struct {
	place, text string
	pattern     *regexp.Regexp
}

var (
	runbookPart   = regexp.MustCompile(`^\*\*([^*]+)\*\*`)
	runbookStep   = regexp.MustCompile(`^\d+\. `)
	runbookNumber = regexp.MustCompile(`\bN\b`)
	runbookCode   = regexp.MustCompile("`([a-z]+\\.[a-z_]+)`")
	runbookQuoted = regexp.MustCompile("`([^`]+)`|\\b(log|status|doctor|metrics|message|readyz|gaps|find)\\b")
)

func readRunbook(t *testing.T) (entries []*runbookEntry, text string) {
	t.Helper()
	chapter := ""
	var e *runbookEntry
	docLines(t, runbookPage, func(line string) {
		level, heading, _ := docHeading(line)
		part := runbookPart.FindStringSubmatch(line)
		switch {
		case level == 1:
			chapter, e = heading, nil
		case level == 2:
			e = &runbookEntry{chapter: chapter, heading: heading}
			entries = append(entries, e)
		case e == nil || line == "":
		case part != nil:
			e.parts = append(e.parts, part[1])
			if part[1] == "You see" {
				e.see = line
			}
		case runbookStep.MatchString(line):
			e.steps++
		case len(e.parts) == 1:
			e.see += " " + line
		}
	})
	for _, e := range entries {
		e.spans = runbookSpans(e.see)
	}
	return entries, readDoc(t, runbookPage)
}

// runbookSpans returns the code spans of a paragraph. The word before them names the place where
// each is seen.
func runbookSpans(paragraph string) (spans []runbookSpan) {
	place := seenLog
	for _, m := range runbookQuoted.FindAllStringSubmatch(paragraph, -1) {
		if m[1] == "" {
			place = m[2]
			continue
		}
		pattern := regexp.QuoteMeta(blanks.ReplaceAllString(m[1], " "))
		pattern = strings.ReplaceAll(pattern, "…", `.*?`)
		pattern = runbookNumber.ReplaceAllString(pattern, `(0\.0*)?[1-9][0-9.]*`)
		spans = append(spans, runbookSpan{place, m[1], regexp.MustCompile(pattern)})
	}
	return spans
}

// TestRunbook plays each case of the runbook with the real program, and checks that the reader sees
// the words that the runbook quotes.
func TestRunbook(t *testing.T) {
	entries, _ := readRunbook(t)
	cases := maps.Clone(alertCases)
	maps.Copy(cases, refusalCases)
	byHeading := make(map[string]*runbookEntry)
	var headings []string
	for _, e := range entries {
		if byHeading[e.heading] != nil {
			t.Errorf("%q is there twice", e.heading)
		}
		byHeading[e.heading] = e
		if cases[e.heading] == nil {
			t.Errorf("%q: no test produces it", e.heading)
			continue
		}
		headings = append(headings, e.heading)
	}
	for heading := range cases {
		if byHeading[heading] == nil {
			t.Errorf("%q has no heading in the runbook", heading)
		}
	}
	began := time.Now()
	together(t, headings, func(t *testing.T, heading string) {
		s := newScene(t)
		cases[heading](s)
		s.sees(byHeading[heading].spans)
	})
	t.Logf("%d cases in %v", len(headings), time.Since(began).Round(time.Second))
}

// TestRunbookOfGoodHealth: a healthy replica shows none of the runbook's cases.
func TestRunbookOfGoodHealth(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.set("ZOOM_SECRET_TOKEN=")
	s.connected()
	s.beside()
	s.emit(5, zoomEvent)
	bodies(t, s.nats.ClientURL(), 5)
	texts := make(map[string]string)
	for _, place := range []string{seenLog, seenStatus, seenDoctor, seenMetrics, seenMessage, seenReady, seenGaps} {
		texts[place] = plainText(s.look(place))
	}
	entries, _ := readRunbook(t)
	for _, e := range entries {
		if len(e.spans) == 0 {
			t.Errorf("%q quotes nothing that is seen", e.heading)
		}
		if !slices.ContainsFunc(e.spans, func(q runbookSpan) bool { return !q.pattern.MatchString(texts[q.place]) }) {
			t.Errorf("%q: all of that is seen where nothing is wrong: %s", e.heading, e.see)
		}
	}
}

// TestRunbookForm: each entry has three parts, and that of an alarm four.
func TestRunbookForm(t *testing.T) {
	entries, _ := readRunbook(t)
	for _, e := range entries {
		parts := []string{"You see", "It means", "Do"}
		if e.chapter == alarmChapter {
			parts = []string{"You see", "It means", "When", "Do"}
		}
		if !slices.Equal(e.parts, parts) || e.steps == 0 {
			t.Errorf("%q has the parts %v and %d steps", e.heading, e.parts, e.steps)
		}
	}
}

// TestRunbookAlerts: each alert leads to a heading of the runbook, and the entry names the alert.
func TestRunbookAlerts(t *testing.T) {
	entries, _ := readRunbook(t)
	known := make(map[string]*runbookEntry)
	for _, e := range entries {
		known[e.heading] = e
	}
	rules, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)- alert: (\w+)\n.*?runbook: docs/runbook\.md#([a-z-]+)\n`).FindAllStringSubmatch(string(rules), -1)
	if len(found) == 0 || len(found) != strings.Count(string(rules), "- alert: ") {
		t.Errorf("%d of %d alerts name the runbook", len(found), strings.Count(string(rules), "- alert: "))
	}
	for _, m := range found {
		alert, anchor := m[1], m[2]
		if known[anchor] == nil {
			t.Errorf("alert %s points to %s, which is no heading of the runbook", alert, anchor)
		} else if !strings.Contains(known[anchor].see, alert) {
			t.Errorf("%q does not name the alert %s", anchor, alert)
		}
	}
}

// TestRunbookCodes: the codes of log lines and checks that the runbook names exist.
func TestRunbookCodes(t *testing.T) {
	_, text := readRunbook(t)
	logs := readDoc(t, logsPage)
	for _, m := range runbookCode.FindAllStringSubmatch(text, -1) {
		if code := m[1]; code != "nats.conf" && code != string(doctor.Clock) && !strings.Contains(logs, "| `"+code+"` |") {
			t.Errorf("%s is no code of a log line", code)
		}
	}
}
