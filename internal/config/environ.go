package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/zoomstream/zoomstream/internal/nearest"
)

// fromEnvironment reads environ ("NAME=value"). It reports every variable with one of our prefixes
// that is no setting: as foreign if it may be another program's for Zoom, otherwise as an error.
func fromEnvironment(environ []string) (l layer, foreign, errs []error) {
	l = layer{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if _, known := rowOf(name); known || name == configVariable {
			l.put(name, value, "environment "+name)
			continue
		}
		if strings.TrimSpace(value) == "" || kubernetes.MatchString(entry) {
			continue
		}
		switch {
		case strings.HasPrefix(name, "ZOOMSTREAM_"):
			errs = append(errs, unknownVariable(name))
		case strings.HasPrefix(name, "ZOOM_"):
			foreign = append(foreign, unknownVariable(name))
		}
	}
	return l, foreign, errs
}

func unknownVariable(name string) error {
	name = name[:min(len(name), maxName)]
	return &Error{Setting: name, Source: "environment " + name, Problem: "no such setting; did you mean " + nearestVariable(name) + "?"}
}

// misspelled reports each NATS_* variable that is nearly the name of a setting which is not set:
// without that setting, zoomstream would start its own server or log in without credentials. Other
// NATS_* variables are no mistake, since the nats CLI and other programs share the prefix.
func (l *loader) misspelled(environ []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		_, known := rowOf(name)
		if known || !strings.HasPrefix(name, "NATS_") || len(name) > maxName || strings.TrimSpace(value) == "" || kubernetes.MatchString(entry) {
			continue
		}
		if meant := nearestVariable(name); strings.HasPrefix(meant, "NATS_") && !l.isSet(strings.TrimSuffix(meant, fileSuffix)) && alike(name, meant) {
			l.errs = append(l.errs, unknownVariable(name))
		}
	}
}

// alike reports whether two names, without NATS_, have the same letters in another order, or differ
// by at most one edit for each four letters of other, and always if by one.
func alike(name, other string) bool {
	name, other = strings.TrimPrefix(name, "NATS_"), strings.TrimPrefix(other, "NATS_")
	ordered := func(s string) string { return string(slices.Sorted(slices.Values([]byte(s)))) }
	return ordered(name) == ordered(other) || nearest.Edits(name, other) <= max(1, len(other)/4)
}

// kubernetes matches the variables ("NAME=value") that every container gets for each Service in its
// namespace: a Service called zoomstream yields ZOOMSTREAM_PORT=tcp://10.0.0.1:8480 and the like
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
// ZOOMSTREAM_HTTP_PORT=8480 has another form: it is a person's mistake.
var kubernetes = regexp.MustCompile(`^\w+(_SERVICE_HOST=|_SERVICE_PORT(_\w+)?=|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|_PORT=(tcp|udp|sctp)://)`)

// nearestVariable returns the known variable with the fewest edits from name.
func nearestVariable(name string) string {
	known := []string{configVariable}
	for _, r := range table {
		known = append(known, r.setting)
	}
	return nearest.Sort(fold(name), known, fold)[0]
}

// nearestRow returns the setting with the fewest edits from name.
func nearestRow(name string) row {
	return nearest.Sort(fold(name), table, func(r row) string { return fold(r.setting) })[0]
}

// fold makes the spellings of a variable, a flag and a key comparable.
func fold(name string) string {
	return strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), "ZOOMSTREAM_")
}
