package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/internal/config"
)

const readmeFile = "../../README.md"

var updateReadme = flag.Bool("update-readme", false, "write the tables of README.md and docs")

// TestReadmeSettings compares the README's table of settings with the code's.
// "make readme" writes it.
func TestReadmeSettings(t *testing.T) {
	checkBlock(t, readmeFile, "settings", config.Markdown())
}

// readmeBlock is a fenced block.
type readmeBlock struct {
	section  string // the heading above it
	language string
	lines    []string
}

func readReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readmeBlocks(t *testing.T) []readmeBlock {
	t.Helper()
	var blocks []readmeBlock
	section, inside := "", false
	for line := range strings.Lines(readReadme(t)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside; inside {
				blocks = append(blocks, readmeBlock{section: section, language: strings.TrimPrefix(line, "```")})
			}
		case inside:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		case strings.HasPrefix(line, "#"):
			section = strings.TrimLeft(line, "# ")
		}
	}
	if inside {
		t.Fatal("a block of README.md has no end")
	}
	return blocks
}
