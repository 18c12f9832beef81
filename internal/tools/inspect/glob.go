package inspect

import (
	"slices"
	"strings"

	"github.com/zoomstream/zoomstream/subjects"
)

// MatchesEvent reports whether a name has the form of one of the patterns, or there are none.
func MatchesEvent(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return matchGlob(pattern, name) })
}

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

// EventSubjects are filters for the subjects of all events whose names have the form of
// one of the patterns, with keys behind the names or without. No filter overlaps another.
func EventSubjects(prefix string, patterns []string) []string {
	var filters, whole []string // whole: subjects of names
	for _, pattern := range patterns {
		if !strings.ContainsAny(pattern, "*?") {
			whole = append(whole, subjects.Subject(prefix, pattern))
			continue
		}
		family, rest, _ := strings.Cut(pattern, ".")
		if rest == "" || !plainToken(prefix, family) {
			return []string{prefix + ".>"}
		}
		filters = append(filters, prefix+"."+family+".>")
		whole = append(whole, subjects.Subject(prefix, family+"."))
	}
	slices.Sort(whole) // what is below another one is behind it
	for _, subject := range whole {
		has := func(filter string) bool {
			above, all := strings.CutSuffix(filter, ">")
			return all && strings.HasPrefix(subject, above)
		}
		if !slices.ContainsFunc(filters, has) {
			filters = append(filters, subject, subject+".>")
		}
	}
	slices.Sort(filters)
	return slices.Compact(filters)
}

// plainToken reports whether a text is a subject's token of its own.
func plainToken(prefix, text string) bool {
	return text != "" && len(text) <= maxFamilyToken && subjects.Subject(prefix, text) == prefix+"."+text
}
