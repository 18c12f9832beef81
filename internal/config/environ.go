package config

import (
	"regexp"
	"strings"
)

// envLayer reads environ ("NAME=value"; of a name given twice the last that is
// not empty counts) and reports every variable of the own prefixes that no
// setting has. NATS_* is shared with the nats command line tool, which has
// more names, so nothing is reported there.
func envLayer(environ []string) (layer, []error) {
	l := layer{}
	var errs []error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if _, known := rowOf(name); known {
			l.put(name, value, "environment "+name)
			continue
		}
		own := strings.HasPrefix(name, "ZOOMSTREAM_") || strings.HasPrefix(name, "ZOOM_")
		if !own || strings.TrimSpace(value) == "" || fromKubernetes(name, value) {
			continue
		}
		errs = append(errs, &Error{
			Setting: name, Source: "environment " + name,
			Problem: "no such setting",
			Fix:     "did you mean " + nearest(name, Environment()) + "?",
		})
	}
	return l, errs
}

// Kubernetes gives every container variables for each Service of its
// namespace, in the style of Docker's links: a Service called zoomstream
// brings ZOOMSTREAM_PORT=tcp://10.0.0.1:8480 and the like
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var (
	serviceName  = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
	serviceValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// fromKubernetes asks for the value where the name alone is one that a person
// might write: ZOOMSTREAM_HTTP_PORT=8480 is a mistake to report.
func fromKubernetes(name, value string) bool {
	return serviceName.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && serviceValue.MatchString(value)
}
