package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	fileSuffix = "_FILE"
	masked     = "***"
)

// row is one setting, read from the tags of a field of [Settings].
type row struct {
	setting     string // name of the environment variable, also used in errors
	flag        string // without dashes
	key         string // key in the file
	group       string
	placeholder string // stands for a value
	preset      string
	derived     string // how documentation shows a computed default
	help        string
	where       string
	kind        string // secret, file, url, path or empty
}

// table is in the order of the fields of [Settings] and is never modified.
var table = rows()

func rows() []row {
	var all []row
	for field := range reflect.TypeFor[Settings]().Fields() {
		tag := field.Tag
		all = append(all, row{
			setting:     tag.Get("setting"),
			flag:        tag.Get("name"),
			key:         strings.ReplaceAll(tag.Get("name"), "-", "_"),
			group:       tag.Get("group"),
			placeholder: tag.Get("placeholder"),
			preset:      tag.Get("preset"),
			derived:     tag.Get("derived"),
			help:        tag.Get("help"),
			where:       tag.Get("where"),
			kind:        tag.Get("kind"),
		})
	}
	return all
}

func rowOf(setting string) (row, bool) {
	i := slices.IndexFunc(table, func(r row) bool { return r.setting == setting })
	if i < 0 {
		return row{}, false
	}
	return table[i], true
}

// redact returns the value as others may see it.
func (r row) redact(value string) string {
	switch {
	case r.kind == "secret" && value != "":
		return masked
	case r.kind == "url":
		return redactURLs(value)
	}
	return value
}

// HelpValue is a kong.HelpValueFormatter (pass it to kong.ValueFormatter). It adds to a setting's
// help what kong does not know: the default, the environment variable and, for a secret, a warning
// that flags are visible to others. Flags that are no settings look as in kong.
func HelpValue(v *kong.Value) string {
	r, ok := rowOf(v.Tag.Get("setting"))
	if !ok {
		return kong.DefaultHelpValueFormatter(v)
	}
	help := r.help
	if shown := r.preset + r.derived; shown != "" {
		help += fmt.Sprintf(" Default %s.", shown)
	}
	if r.kind == "secret" {
		help += fmt.Sprintf(" A flag is visible in ps: prefer the environment or --%s-file.", r.flag)
	}
	return fmt.Sprintf("%s ($%s)", help, r.setting)
}

// Markdown returns the documents' table of settings, with a final newline. A NAME_FILE variant is
// mentioned in the row of NAME.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| environment | flag | file | default | meaning |\n|---|---|---|---|---|\n")
	for _, r := range table {
		if r.kind == "file" {
			continue
		}
		preset, help := "–", r.help
		if shown := r.preset + r.derived; shown != "" {
			preset = "`" + shown + "`"
		}
		if _, ok := rowOf(r.setting + fileSuffix); ok {
			help += fmt.Sprintf(" Also as `%s%s`.", r.setting, fileSuffix)
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", r.setting, r.flag, r.key, preset, help)
	}
	return b.String()
}
