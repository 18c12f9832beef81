package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with one setting. [Load] joins as many as there are.
type Error struct {
	Setting string // environment variable's name, "--config", or the unknown name
	Value   string // as given; empty for secrets and where it could hold one
	Source  string // "flag --x", "environment X", "file path:line", "default"
	Problem string // what is wrong
	Fix     string // what to do
}

// Error returns one line, for example
//
//	ZOOMSTREAM_LEASE_TTL (environment) is "abc": not a duration; use for example 15s
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Setting)
	if source := strings.TrimSuffix(e.Source, " "+e.Setting); source != "" {
		fmt.Fprintf(&b, " (%s)", source)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, " is %s", quote(e.Value))
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Fix != "" {
		fmt.Fprintf(&b, "; %s", e.Fix)
	}
	return b.String()
}

// quote keeps an error to one line of readable length, whatever was given.
func quote(s string) string {
	const most = 200
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}

// MissingError says which of the settings that have no default are not set,
// where Zoom shows their values and how to set them.
type MissingError struct {
	Settings []string // environment variables' names, in the order of the table
}

// Error returns several lines for a person who runs the program for the first
// time.
func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "not set: %s\n\n", strings.Join(e.Settings, ", "))
	b.WriteString("Find the values at https://marketplace.zoom.us → Develop → your app:\n")
	for _, name := range e.Settings {
		r, _ := rowOf(name)
		fmt.Fprintf(&b, "  %-20s %s\n", name, r.where)
	}
	b.WriteString("\nSet each in one of these ways:\n")
	for _, name := range e.Settings {
		r, _ := rowOf(name)
		ways := []string{name + "=…"}
		if r.secret {
			ways = append(ways, name+fileSuffix+"=path")
		}
		ways = append(ways, "--"+r.flag+"=…")
		if r.secret {
			ways = append(ways, "--"+r.flag+"-file=path")
		}
		ways = append(ways, "in the --config file "+r.key+": …")
		fmt.Fprintf(&b, "  %s\n", strings.Join(ways, "  or  "))
	}
	b.WriteString("\nA Server-to-Server app may need ZOOM_ACCOUNT_ID as well (page App Credentials: Account ID);\n")
	b.WriteString("ZOOM_SECRET_TOKEN (next to the event subscription: Secret Token) turns on the check of signatures.\n")
	b.WriteString("\nTo see it work without a Zoom account: zoomstream demo needs none of these.")
	return b.String()
}
