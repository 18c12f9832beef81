package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	docLink     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	docCodeSpan = regexp.MustCompile("`[^`]*`")
	docNoAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// docAnchor returns the anchor that GitHub makes of a heading.
func docAnchor(heading string) string {
	return strings.ReplaceAll(docNoAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// docAnchors returns the anchors of a page. A repeated heading gets a number.
func docAnchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	anchors, times := make(map[string]bool), make(map[string]int)
	docLines(t, page, func(line string) {
		_, heading, is := docHeading(line)
		if !is {
			return
		}
		anchor := docAnchor(heading)
		n := times[anchor]
		times[anchor]++
		if n > 0 {
			anchor = fmt.Sprintf("%s-%d", anchor, n)
		}
		anchors[anchor] = true
	})
	return anchors
}

// TestDocsLinks: every link of the documents into the tree leads to a file and, where it names one,
// to a heading.
func TestDocsLinks(t *testing.T) {
	anchors := make(map[string]map[string]bool)
	for _, page := range docPages(t) {
		anchors[page] = docAnchors(t, page)
	}
	links := 0
	for page := range anchors {
		docLines(t, page, func(line string) {
			for _, m := range docLink.FindAllStringSubmatch(docCodeSpan.ReplaceAllString(line, "``"), -1) {
				target, err := url.Parse(m[1])
				if err != nil {
					t.Errorf("%s: %v", page, err)
					continue
				}
				if target.Scheme != "" {
					continue
				}
				links++
				file := page
				if target.Path != "" {
					file = path.Join(path.Dir(page), target.Path)
				}
				if _, err := os.Stat(filepath.Join(docsRoot, file)); err != nil || strings.HasPrefix(file, "..") {
					t.Errorf("%s: a link leads to %s, which is not there", page, m[1])
				} else if target.Fragment != "" && !anchors[file][target.Fragment] {
					t.Errorf("%s: a link leads to %s, and %s has no such heading", page, m[1], file)
				}
			}
		})
	}
	if links < 100 {
		t.Errorf("only %d links: this test does not find them", links)
	}
}
