package config

import (
	"cmp"
	"slices"
	"strings"
)

// nearest returns the name of known (not empty) that takes the fewest edits to
// get from name. Case, dashes and the prefix ZOOMSTREAM_ do not count, so that
// a name in the wrong spelling (flag, variable, key) finds its right one.
func nearest(name string, known []string) string {
	name = fold(name)
	return slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(edits(name, fold(a)), edits(name, fold(b)))
	})
}

func fold(name string) string {
	name = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return strings.TrimPrefix(name, "ZOOMSTREAM_")
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := range len(a) {
		diagonal := line[0]
		line[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = line[j+1]
			line[j+1] = min(change, line[j]+1, line[j+1]+1)
		}
	}
	return line[len(b)]
}
