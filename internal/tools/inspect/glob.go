package inspect

import (
	"slices"
	"strings"

	"github.com/zoomstream/zoomstream/subjects"
)

// matchGlob reports whether a name has the form of a pattern, in which * stands for any
// text, dots included, and ? for one byte.
func matchGlob(pattern, name string) bool {
	star, retry := -1, 0 // the last * in the pattern, and where what it stands for ends
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0: // the * stands for one byte more
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// maxFamilyToken is how long the beginning of a name may be to be looked for by its
// subject: that of a longer name may be cut.
const maxFamilyToken = 64

// globSubjects are filters for the subjects of all events whose names have the form of
// one of the patterns. No filter overlaps another.
func globSubjects(prefix string, patterns []string) []string {
	families := map[string]bool{} // first tokens of names
	var names []string
	for _, pattern := range patterns {
		if !strings.ContainsAny(pattern, "*?") {
			names = append(names, pattern)
			continue
		}
		family, rest, _ := strings.Cut(pattern, ".")
		if rest == "" || !plainToken(prefix, family) {
			return []string{prefix + ".>"}
		}
		families[family] = true
	}
	var filters []string
	for family := range families {
		filters = append(filters, prefix+"."+family+".>", subjects.Subject(prefix, family+"."))
	}
	for _, name := range names {
		if family, _, found := strings.Cut(name, "."); !found || !families[family] {
			filters = append(filters, subjects.Subject(prefix, name))
		}
	}
	slices.Sort(filters)
	return slices.Compact(filters)
}

// plainToken reports whether a text is a subject's token of its own.
func plainToken(prefix, text string) bool {
	return text != "" && len(text) <= maxFamilyToken && subjects.Subject(prefix, text) == prefix+"."+text
}
