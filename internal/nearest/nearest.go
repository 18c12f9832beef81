// Package nearest finds the known name that somebody meant by an unknown one.
package nearest

import (
	"cmp"
	"slices"
)

// Sort returns the known values in the order of the edit distance between their names and name.
func Sort[T any](name string, known []T, nameOf func(T) string) []T {
	type candidate struct {
		distance int
		known    T
	}
	var candidates []candidate
	for _, k := range known {
		candidates = append(candidates, candidate{Edits(name, nameOf(k)), k})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var sorted []T
	for _, c := range candidates {
		sorted = append(sorted, c.known)
	}
	return sorted
}

// Edits returns the Levenshtein distance between a and b, in bytes.
func Edits(a, b string) int {
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
