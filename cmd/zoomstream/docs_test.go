package main

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/internal/config"
)

const (
	docsRoot = "../.."

	readmePage       = "README.md"
	contributingPage = "CONTRIBUTING.md"
	settingsPage     = "docs/configuration.md"
	testingPage      = "docs/testing.md"
	consumersPage    = "docs/consumers.md"
	examplesPage     = "examples/README.md"
	messagesPage     = "docs/messages.md"
	operatingPage    = "docs/operating.md"
	platformPage     = "docs/platform.md"
	logsPage         = "docs/logs.md"
	performancePage  = "docs/performance.md"
	runbookPage      = "docs/runbook.md"

	runbookTitle = "Runbook"
)

var updateDocs = flag.Bool("update-docs", false, "write what is generated into the documents")

// docPages returns the paths of the documents, relative to the root of the tree.
func docPages(t *testing.T) (pages []string) {
	t.Helper()
	err := filepath.WalkDir(docsRoot, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "data", "dist", "testdata", "node_modules"}, entry.Name()) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			name, err := filepath.Rel(docsRoot, path)
			pages = append(pages, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func readDoc(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docsRoot, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docBlock is a fenced code block.
type docBlock struct {
	page, section string // the heading above it
	language      string
	lines         []string
}

// docLines calls each for every line of a page outside fenced blocks, and returns the blocks.
func docLines(t *testing.T, page string, each func(line string)) (blocks []docBlock) {
	t.Helper()
	section, inside := "", false
	for line := range strings.Lines(readDoc(t, page)) {
		line = strings.TrimSuffix(line, "\n")
		trimmed := strings.TrimSpace(line)
		switch language, fence := strings.CutPrefix(trimmed, "```"); {
		case fence:
			if inside = !inside; inside {
				blocks = append(blocks, docBlock{page: page, section: section, language: language})
			}
		case inside:
			last := &blocks[len(blocks)-1]
			if last.language == "sh" {
				line = trimmed // it may be in a list
			}
			last.lines = append(last.lines, line)
		default:
			if _, heading, is := docHeading(line); is {
				section = heading
			}
			each(line)
		}
	}
	if inside {
		t.Fatalf("a block of %s has no end", page)
	}
	return blocks
}

func docBlocks(t *testing.T, page string) []docBlock {
	t.Helper()
	return docLines(t, page, func(string) {})
}

func docHeading(line string) (level int, text string, is bool) {
	text = strings.TrimLeft(line, "#")
	level = len(line) - len(text)
	return level, strings.TrimSpace(text), level > 0 && strings.HasPrefix(text, " ")
}

// compareGenerated fails the test if the text between a name's markers is not what the code
// generates. With -update-docs ("make readme") it writes the text instead.
func compareGenerated(t *testing.T, page, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	if strings.HasSuffix(page, ".yaml") {
		begin, end = "# <"+name+">\n", "# </"+name+">\n"
	}
	head, rest, found := strings.Cut(readDoc(t, page), begin)
	text, tail, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no lines %s%s", page, begin, end)
	case text == want:
	case *updateDocs:
		if err := os.WriteFile(filepath.Join(docsRoot, page), []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("the %s in %s are not those of the code; make readme writes them:\n%s", name, page, want)
	}
}

func TestGeneratedSettings(t *testing.T) {
	compareGenerated(t, settingsPage, "settings", config.Markdown())
}

// TestGeneratedContents: the runbook's table of contents is complete.
func TestGeneratedContents(t *testing.T) {
	var b strings.Builder
	docLines(t, runbookPage, func(line string) {
		switch level, heading, _ := docHeading(line); {
		case level == 1 && heading != runbookTitle:
			b.WriteString("- [" + heading + "](#" + docAnchor(heading) + ")\n")
		case level == 2:
			b.WriteString("  - [" + heading + "](#" + docAnchor(heading) + ")\n")
		}
	})
	compareGenerated(t, runbookPage, "contents", b.String())
}

// TestReadmeIsShort: the README is short enough to be read whole, and links to every other page.
func TestReadmeIsShort(t *testing.T) {
	text := readDoc(t, readmePage)
	if n := strings.Count(text, "\n"); n > 150 {
		t.Errorf("%s has %d lines", readmePage, n)
	}
	for _, page := range docPages(t) {
		if page != readmePage && !strings.Contains(text, "]("+page) {
			t.Errorf("%s has no link to %s", readmePage, page)
		}
	}
}

// TestDocsSettings: every setting that the documents name exists.
func TestDocsSettings(t *testing.T) {
	table := readDoc(t, settingsPage)
	others := []string{"ZOOMSTREAM_STREM", "ZOOM_DEAD"} // a misspelling that the runbook quotes, and a stream
	for _, page := range docPages(t) {
		for _, name := range regexp.MustCompile(`\b(ZOOM|ZOOMSTREAM|NATS)_[A-Z_]*[A-Z]\b`).FindAllString(readDoc(t, page), -1) {
			if !slices.Contains(others, name) && !strings.Contains(table, "`"+strings.TrimSuffix(name, "_FILE")+"`") {
				t.Errorf("%s: %s is no setting", page, name)
			}
		}
	}
}
