// Package nearest finds what somebody meant by a name that is unknown.
package nearest

import (
	"cmp"
	"slices"
)

// Sort returns what is known by how few edits it takes to get its name from the one given.
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

// Edits is the Levenshtein distance of a and b in bytes.
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
