package config

import (
	"regexp"
	"strings"

	"github.com/zoomstream/zoomstream/internal/nearest"
)

// fromEnvironment reads environ ("NAME=value") and reports every variable of
// the own prefixes that no setting has. NATS_* is shared with the nats command
// line tool, which has more names, so nothing is reported there.
func fromEnvironment(environ []string) (layer, []error) {
	l := layer{}
	var errs []error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if _, known := rowOf(name); known || name == configVariable {
			l.put(name, value, "environment "+name)
			continue
		}
		own := strings.HasPrefix(name, "ZOOMSTREAM_") || strings.HasPrefix(name, "ZOOM_")
		if own && strings.TrimSpace(value) != "" && !kubernetes.MatchString(entry) {
			errs = append(errs, &Error{
				Setting: name[:min(len(name), maxName)], Source: "environment " + name[:min(len(name), maxName)],
				Problem: "no such setting; did you mean " + nearestVariable(name[:min(len(name), maxName)]) + "?",
			})
		}
	}
	return l, errs
}

// kubernetes matches the variables ("NAME=value") that every container gets
// for each Service of its namespace: one called zoomstream brings
// ZOOMSTREAM_PORT=tcp://10.0.0.1:8480 and the like
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
// ZOOMSTREAM_HTTP_PORT=8480 is not of that form but a person's mistake.
var kubernetes = regexp.MustCompile(`^\w+(_SERVICE_HOST=|_SERVICE_PORT(_\w+)?=|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|_PORT=(tcp|udp|sctp)://)`)

// nearestVariable returns the variable whose name takes the fewest edits to get from
// name.
func nearestVariable(name string) string {
	known := []string{configVariable}
	for _, r := range table {
		known = append(known, r.setting)
	}
	return nearest.Sort(fold(name), known, fold)[0]
}

// nearestRow returns the setting of the file whose name takes the fewest edits to get
// from name.
func nearestRow(name string) row {
	return nearest.Sort(fold(name), table, func(r row) string { return fold(r.setting) })[0]
}

// fold makes one of the spellings of a variable, a flag and a key.
func fold(name string) string {
	return strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), "ZOOMSTREAM_")
}
