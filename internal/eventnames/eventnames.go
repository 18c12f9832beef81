// Package eventnames has the names of Zoom's events known from public sources. Zoom adds some each
// month, so an event with an unknown name is an event like any other.
package eventnames

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed names.txt
var file string

// All returns the names, sorted.
func All() []string { return strings.Fields(file) }

// Known reports whether a name is known.
func Known(name string) bool { return known().names[name] }

// KnownFamily reports whether a known name has the same part before the first dot, such as meeting
// in meeting.started.
func KnownFamily(name string) bool { return known().families[family(name)] }

func family(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return first
}

type index struct{ names, families map[string]bool }

var known = sync.OnceValue(func() index {
	all := index{make(map[string]bool), make(map[string]bool)}
	for name := range strings.FieldsSeq(file) {
		all.names[name], all.families[family(name)] = true, true
	}
	return all
})
