package inspect

import (
	"slices"
	"strings"

	"github.com/zoomstream/zoomstream/subjects"
)

// MatchesEvent reports whether a name matches one of the patterns, or there are none.
func MatchesEvent(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return matchGlob(pattern, name) })
}

// matchGlob reports whether a name matches a pattern, in which * matches any text, including dots,
// and ? any single byte.
func matchGlob(pattern, name string) bool {
	star, retry := -1, 0 // position of the last * in pattern, and the end of what it matches in name
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0: // let the * match one more byte
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// maxFamilyToken is the maximum length of a family in a subject filter: the subject of a longer
// name may be shortened.
const maxFamilyToken = 64

// EventSubjects returns filters for the subjects of all events whose names match one of the
// patterns, with or without keys after the name. The filters do not overlap.
func EventSubjects(prefix string, patterns []string) []string {
	var filters, whole []string // whole: subjects of complete names
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
	slices.Sort(whole) // a parent subject sorts before those below it
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

// plainToken reports whether a text appears unchanged as a subject token.
func plainToken(prefix, text string) bool {
	return text != "" && len(text) <= maxFamilyToken && subjects.Subject(prefix, text) == prefix+"."+text
}
