package config

import (
	"fmt"
	"strings"
)

// Error says what is wrong with one setting. [Load] joins one per problem.
type Error struct {
	Setting string // name of the environment variable, "--config", "ZOOMSTREAM_CONFIG", or the unknown name
	Value   string // as given; masked or empty if it may hold a secret
	Source  string // "flag --x", "environment X", "file path:line", "default"
	Problem string // what is wrong and what to do
}

// Error returns one line, for example
//
//	ZOOMSTREAM_LEASE_TTL (environment) is "abc": not a duration; use for example 15s
func (e *Error) Error() string {
	text := e.Setting
	if source := strings.TrimSuffix(e.Source, " "+e.Setting); source != "" && source != "flag" {
		text += " (" + source + ")"
	}
	if e.Value != "" {
		text += fmt.Sprintf(" is %.200q", e.Value)
		if strings.Contains(e.Value, masked) {
			text += " (hidden, as it may be secret)"
		}
	}
	return text + ": " + e.Problem
}

// MissingError names the required settings that are not set, and says where Zoom shows their values
// and how to set them.
type MissingError struct {
	Settings []string // names of the environment variables, in the table's order
}

// Error returns several lines, for somebody who runs the program for the first time.
func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "not set: %s\n\n", strings.Join(e.Settings, ", "))
	b.WriteString("Find the values at https://marketplace.zoom.us → Develop → your app, and set them in the\n")
	b.WriteString("environment, as flags or in the --config file (lower-case names); a secret also as a file:\n")
	for _, name := range e.Settings {
		r, _ := rowOf(name)
		fmt.Fprintf(&b, "  %s=…  or  --%s=…", name, r.flag)
		if r.kind == "secret" {
			fmt.Fprintf(&b, "  or  %s%s=path", name, fileSuffix)
		}
		fmt.Fprintf(&b, "\n      %s\n", r.where)
	}
	b.WriteString(`
A Server-to-Server app may need ZOOM_ACCOUNT_ID as well (page App Credentials: Account ID);
ZOOM_SECRET_TOKEN (next to the event subscription: Secret Token) turns on signature checks.

To see it work without a Zoom account: zoomstream demo needs none of these.`)
	return b.String()
}
