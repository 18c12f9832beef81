package config

import (
	"errors"
	"slices"
)

// Load resolves every setting, s (the flags) before environ ("NAME=value")
// before the YAML file before the default, and validates the whole. With an
// empty configFile there is no file. It reads files (the configuration, every
// NAME_FILE, and it opens those that the NATS client will need) but writes and
// creates nothing.
//
// The error joins everything that is wrong: each an [*Error], and one
// [*MissingError] if settings without a default are not set.
func Load(s Settings, configFile string, environ []string) (*Config, error) {
	env, envErrs := envLayer(environ)
	file, fileErrs := fileLayer(configFile)
	l := &loader{
		found:  map[string]given{},
		broken: map[string]bool{},
		errs:   slices.Concat(envErrs, fileErrs),
	}
	l.resolve([]layer{flagLayer(s), env, file})

	c := &Config{}
	l.zoom(c)
	l.nats(c)
	l.stream(c)
	l.replicas(c)
	l.disk(c)
	l.operation(c)

	fileUnread := configFile != "" && file == nil // it may hold what is missing
	if missing := l.missing(); len(missing) > 0 && !fileUnread {
		l.errs = append(l.errs, &MissingError{Settings: missing})
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	c.values = l.values()
	return c, nil
}

// loader is the state of one Load.
type loader struct {
	found  map[string]given // what counts, by name of the setting
	broken map[string]bool  // settings that are given but have an error
	errs   []error
}

func (l *loader) resolve(layers []layer) {
	for _, r := range table {
		if r.fileOf != "" {
			continue
		}
		g, err := pick(r, layers)
		if err != nil {
			l.broken[r.setting] = true
			l.errs = append(l.errs, err)
		}
		l.found[r.setting] = g
	}
}

// text is the setting's value; setting must be in the table.
func (l *loader) text(setting string) string {
	g, ok := l.found[setting]
	if !ok {
		panic("config: " + setting + " is not in the table") // a misspelling in this package
	}
	return g.value
}

// settle replaces the value as given by the one that took effect.
func (l *loader) settle(setting, value string) {
	g := l.found[setting]
	g.value = value
	l.found[setting] = g
}

func (l *loader) fail(setting, problem, fix string) {
	g := l.found[setting]
	value := shown(setting, g.value)
	if value == masked {
		value = ""
	}
	l.broken[setting] = true
	l.errs = append(l.errs, &Error{
		Setting: setting, Value: value, Source: g.source, Problem: problem, Fix: fix,
	})
}

// missing lists what [MissingError] is about.
func (l *loader) missing() []string {
	var names []string
	for _, name := range []string{"ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET", "ZOOM_WEBSOCKET_URL"} {
		if l.text(name) == "" && !l.broken[name] {
			names = append(names, name)
		}
	}
	return names
}

func (l *loader) values() []Value {
	var all []Value
	for _, r := range table {
		if g, ok := l.found[r.setting]; ok {
			all = append(all, Value{Name: r.setting, Value: shown(r.setting, g.value), Source: g.source})
		}
	}
	return all
}

// shown is the value as others may see it.
func shown(setting, value string) string {
	r, _ := rowOf(setting)
	switch {
	case value == "":
		return ""
	case r.secret:
		return masked
	case r.url:
		return redact(value)
	}
	return value
}
