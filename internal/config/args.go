package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/zoomstream/zoomstream/internal/redact"
)

// Validate rejects a flag that is given twice, where kong would silently use the last. Kong calls
// it on a command that embeds [Settings].
func (Settings) Validate(c *kong.Context) error {
	seen := map[*kong.Flag]bool{}
	for _, step := range c.Path {
		if step.Flag == nil {
			continue
		}
		if seen[step.Flag] {
			return fmt.Errorf("--%s is given twice; give it once, several values separated by commas", step.Flag.Name)
		}
		seen[step.Flag] = true
	}
	return nil
}

// RedactArgs masks, in a kong error about args, the values of settings and arguments that belong to
// no flag: kong quotes what it does not understand, which may be a secret. Names of flags and the
// first argument, the command, stay. So does anything shorter than 4 bytes: it is no secret, and
// masking it everywhere would leave no readable text.
func RedactArgs(message string, args []string) string {
	var hidden []string
	before := "" // flag whose value is the next argument
	for i, arg := range args {
		flag, value, attached := strings.Cut(arg, "=")
		switch {
		case before != "":
			if isSetting(before) {
				hidden = append(hidden, arg)
			}
			before = ""
		case arg == "--" || !strings.HasPrefix(arg, "--"):
			if i > 0 || attached {
				hidden = append(hidden, arg)
			}
		case !attached:
			before = flag
		case isSetting(flag):
			hidden = append(hidden, value)
		}
	}
	return redact.Known(message, hidden...)
}

func isSetting(flag string) bool {
	return slices.ContainsFunc(table, func(r row) bool { return "--"+r.flag == flag })
}
