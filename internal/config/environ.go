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
				Problem: "no such setting; did you mean " + nearestRow(name[:min(len(name), maxName)]).setting + "?",
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

// nearestRow returns the setting whose name takes the fewest edits to get from
// name, which may be in the spelling of a variable, a flag or a key.
func nearestRow(name string) row {
	fold := func(name string) string {
		return strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), "ZOOMSTREAM_")
	}
	return nearest.Sort(fold(name), table, func(r row) string { return fold(r.setting) })[0]
}
