package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// row is one setting of the table, read from the tags of a field of [Settings].
type row struct {
	field   int    // in Settings
	setting string // environment variable; also the name used in errors
	flag    string // without dashes
	key     string // in the file
	preset  string
	derived string
	help    string
	group   string
	where   string
	secret  bool
	url     bool
	list    bool
	fileOf  string // for NAME_FILE: the secret NAME that the file holds
}

// table is never changed after initialisation.
var table = rows()

func rows() []row {
	t := reflect.TypeFor[Settings]()
	all := make([]row, 0, t.NumField())
	secrets := map[string]bool{}
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		r := row{
			field:   i,
			setting: tag.Get("setting"),
			flag:    tag.Get("name"),
			key:     strings.ReplaceAll(tag.Get("name"), "-", "_"),
			preset:  tag.Get("preset"),
			derived: tag.Get("derived"),
			help:    tag.Get("help"),
			group:   tag.Get("group"),
			where:   tag.Get("where"),
		}
		_, r.secret = tag.Lookup("secret")
		_, r.url = tag.Lookup("url")
		_, r.list = tag.Lookup("list")
		secrets[r.setting] = r.secret
		if base, ok := strings.CutSuffix(r.setting, fileSuffix); ok && secrets[base] {
			r.fileOf = base
		}
		all = append(all, r)
	}
	return all
}

func rowOf(setting string) (row, bool) {
	for _, r := range table {
		if r.setting == setting {
			return r, true
		}
	}
	return row{}, false
}

// defaultText is the default as documentation shows it, "" for none.
func (r row) defaultText() string {
	if r.derived != "" {
		return r.derived
	}
	return r.preset
}

// Environment returns the names of all environment variables that [Load]
// reads, NAME_FILE variants included, in the order of the table.
func Environment() []string {
	names := make([]string, 0, len(table))
	for _, r := range table {
		names = append(names, r.setting)
	}
	return names
}

// HelpValue is a kong.HelpValueFormatter (pass it by kong.ValueFormatter). It
// adds to the help of a setting what kong does not know: the default, the
// environment variable and, for a secret, that flags are visible to others.
// Flags that are no settings are shown as kong shows them.
func HelpValue(v *kong.Value) string {
	r, ok := rowOf(v.Tag.Get("setting"))
	if !ok {
		return kong.DefaultHelpValueFormatter(v)
	}
	help := r.help
	if d := r.defaultText(); d != "" {
		help += fmt.Sprintf(" Default %s.", d)
	}
	if r.secret {
		help += fmt.Sprintf(" A flag is visible in ps: prefer the environment or --%s-file.", r.flag)
	}
	return fmt.Sprintf("%s ($%s)", help, r.setting)
}

// Markdown returns the README's table of settings, ending in a newline. A
// NAME_FILE variant is mentioned with its secret instead of in a row of its
// own.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| environment | flag | file | default | meaning |\n|---|---|---|---|---|\n")
	for _, r := range table {
		if r.fileOf != "" {
			continue
		}
		def := "–"
		if d := r.defaultText(); d != "" {
			def = "`" + d + "`"
		}
		help := strings.ReplaceAll(r.help, "|", `\|`)
		if r.secret {
			help += fmt.Sprintf(" Also as `%s%s`.", r.setting, fileSuffix)
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", r.setting, r.flag, r.key, def, help)
	}
	return b.String()
}
