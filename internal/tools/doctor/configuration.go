package doctor

import (
	"errors"
	"strings"

	"github.com/zoomstream/zoomstream/internal/config"
)

// configuration reports each error of the configuration as a check.
func (e *exam) configuration() {
	if e.o.Errors == nil {
		e.pass(Configuration, "all settings are valid, %s", count(len(e.cfg.Zoom.Endpoints), "subscription"))
	}
	for _, err := range flatten(e.o.Errors) {
		problem, fix := err.Error(), ""
		if missing, ok := errors.AsType[*config.MissingError](err); ok {
			problem = "not set: " + strings.Join(missing.Settings, ", ")
			fix = "set them in the environment, as flags or in the --config file; zoomstream run says where Zoom shows them"
		} else if before, after, found := cutLast(problem, "; "); found { // the settings' errors have this form
			problem, fix = before, after
		}
		e.reject(Configuration, fix, "%s", problem)
	}
	if e.cfg == nil {
		e.skip(Configuration, "nothing else can be checked until then")
	}
}

// flatten lists the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flatten(one)...)
	}
	return all
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}
