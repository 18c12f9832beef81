package config

import (
	"fmt"
	"strings"
)

// Example returns a YAML file with every setting commented out: its help, and its default or a
// placeholder.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of zoomstream. Flags and the environment override this file; what is not set has its default.\n" +
		"# Keep secrets in separate files, and name these with …_file.\n")
	group := ""
	for _, r := range table {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		b.WriteString("\n")
		help := r.help
		if r.where != "" {
			help += " Required. Zoom shows it on " + r.where + "."
		}
		if r.derived != "" {
			help += " Default " + r.derived + "."
		}
		for _, line := range wrap(help, 100) {
			fmt.Fprintf(&b, "# %s\n", line)
		}
		if r.preset != "" {
			fmt.Fprintf(&b, "#%s: %s\n", r.key, r.preset)
		} else {
			fmt.Fprintf(&b, "#%s: %s\n", r.key, r.placeholder)
		}
	}
	return b.String()
}

// wrap breaks a text into lines of at most width bytes, if no word is longer.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
