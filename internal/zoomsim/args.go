package zoomsim

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// args are the parameters of an action. The getters note what is wrong; err
// tells all of it in one line.
type args struct {
	action string
	values url.Values
	body   []byte
	wrong  []string
}

func newArgs(action string, values url.Values, body []byte, known ...string) *args {
	a := &args{action: action, values: values, body: body}
	for _, name := range sortedNames(values) {
		if !slices.Contains(known, name) {
			a.note("parameter %q is unknown; known: %s", name, strings.Join(known, ", "))
		}
	}
	return a
}

func (a *args) note(format string, v ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, v...))
}

func (a *args) noteErr(err error) {
	if err != nil {
		a.note("%v", err)
	}
}

func (a *args) err() error {
	if len(a.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", a.action, strings.Join(a.wrong, "; "))
}

func (a *args) text(name string) string { return a.values.Get(name) }

// needText is text that must be given.
func (a *args) needText(name string) string {
	text := a.text(name)
	if text == "" {
		a.note("%s is needed", name)
	}
	return text
}

func (a *args) number(name string, unset int) int {
	text := a.text(name)
	if text == "" {
		return unset
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		a.note("%s=%q is no whole number of 0 or more", name, text)
	}
	return n
}

// needNumber is a number that must be given, above 0.
func (a *args) needNumber(name string) int {
	n := a.number(name, 0)
	if n == 0 {
		a.note("%s is needed, above 0", name)
	}
	return n
}

func (a *args) duration(name string) time.Duration {
	text := a.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		a.note("%s=%q is no duration such as 90s or 2h", name, text)
	}
	return d
}

// needDuration is a duration that must be given, above 0.
func (a *args) needDuration(name string) time.Duration {
	d := a.duration(name)
	if d == 0 {
		a.note("%s is needed, a duration such as 90s or 2h", name)
	}
	return d
}

func (a *args) yes(name string) bool {
	text := a.text(name)
	if text == "" {
		return false
	}
	yes, err := strconv.ParseBool(text)
	if err != nil {
		a.note("%s=%q is neither true nor false", name, text)
	}
	return yes
}

func (a *args) span() Span { return Span{For: a.duration("for"), Count: a.number("count", 0)} }
