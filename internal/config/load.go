package config

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// Load resolves every setting in the order s (the flags), environ ("NAME=value"), YAML file,
// default, and validates the result. If configFile is empty, ZOOMSTREAM_CONFIG names the file;
// without that there is none. Load reads files (the configuration, every NAME_FILE, those that the
// NATS client will need) but writes nothing.
//
// The error joins all problems: an [*Error] for each, and one [*MissingError] if required settings
// are not set.
func Load(s Settings, configFile string, environ []string) (*Config, error) {
	return load(s, configFile, environ, true)
}

// LoadWithoutZoom is Load for a command that uses only NATS. Zoom's settings may be missing. A
// ZOOM_* variable that is no setting may be another program's, so it is in [Config.Foreign] rather
// than an error.
func LoadWithoutZoom(s Settings, configFile string, environ []string) (*Config, error) {
	return load(s, configFile, environ, false)
}

func load(s Settings, configFile string, environ []string, zoom bool) (*Config, error) {
	env, foreign, envErrs := fromEnvironment(environ)
	var from yamlFile
	if configFile != "" {
		from = yamlFile{path: configFile, setting: "--config", source: "flag --config"}
	} else if named, ok := env[configVariable]; ok {
		from = yamlFile{path: named.value, setting: configVariable, source: named.source}
	}
	file, fileErrs := from.read()
	if zoom {
		envErrs, foreign = append(envErrs, foreign...), nil
	}
	l := &loader{found: map[string]given{}, errs: slices.Concat(envErrs, fileErrs)}
	l.resolve(fromFlags(s), env, file)
	l.misspelled(environ)

	c := &Config{File: Value{Name: configVariable, Value: from.path, Source: cmp.Or(from.source, fromDefault)}}
	for _, f := range fields(c) {
		value := l.found[f.setting].value
		if value == "" {
			continue
		}
		if err := f.read(value); err != nil {
			l.fail(f.setting, err)
		}
	}
	l.derive(c)
	l.compare(c)

	var missing []string
	for _, r := range table {
		if zoom && r.where != "" && !l.isSet(r.setting) {
			missing = append(missing, r.setting)
		}
	}
	if len(missing) > 0 && file != nil { // a broken file may contain them
		l.errs = append(l.errs, &MissingError{Settings: missing})
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	c.values, c.secretFiles, c.foreign = l.values(), l.secretFiles(from), foreign
	return c, nil
}

// given is a value and its source.
type given struct {
	value  string
	source string
	file   string // file that a secret was read from
}

// layer is what one source provides, by name of the setting. Its values are trimmed and never
// empty.
type layer map[string]given

func (l layer) put(setting, value, source string) {
	if value = strings.TrimSpace(value); value != "" {
		l[setting] = given{value: value, source: source}
	}
}

func fromFlags(s Settings) layer {
	l := layer{}
	v := reflect.ValueOf(s)
	for i, r := range table {
		l.put(r.setting, v.Field(i).String(), "flag --"+r.flag)
	}
	return l
}

// loader is the state of one call of Load.
type loader struct {
	found map[string]given // effective values, by name of the setting
	errs  []error
}

const fromDefault = "default"

func (l *loader) isSet(setting string) bool {
	return l.found[setting].source != fromDefault
}

func (l *loader) resolve(layers ...layer) {
	for _, r := range table {
		if r.kind == "file" {
			continue
		}
		g, err := pick(r, layers)
		l.found[r.setting] = g
		if err != nil {
			l.fail(r.setting, err)
		}
	}
}

// pick returns the setting's value from the first layer that has it. A layer may have it as itself
// or, if the table allows it, as NAME_FILE, but not as both.
func pick(r row, layers []layer) (given, error) {
	for _, l := range layers {
		direct, isDirect := l[r.setting]
		file, isFile := l[r.setting+fileSuffix]
		switch {
		case isDirect && isFile:
			return direct, errors.New("set together with " + r.setting + fileSuffix + "; keep one of the two")
		case isDirect:
			return direct, nil
		case isFile:
			secret, err := readSecret(file.value)
			return given{value: secret, source: file.source, file: file.value}, err
		}
	}
	return given{value: r.preset, source: fromDefault}, nil
}

func readSecret(path string) (string, error) {
	text, err := secretfile.Read(path, secretfile.MaxSecret)
	if err != nil {
		return "", unreadable(path, err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("the file %s is empty; write the secret into it", located(path))
	}
	return secret, nil
}

func (l *loader) fail(setting string, problem error) {
	g := l.found[setting]
	e := &Error{Setting: setting, Source: g.source, Problem: problem.Error()}
	if r, _ := rowOf(setting); r.kind != "path" {
		e.Value = r.redact(g.value)
	}
	l.errs = append(l.errs, e)
}

// derive fills in values that depend on more than the setting's own text.
func (l *loader) derive(c *Config) {
	if strings.EqualFold(c.HTTPAddr, "off") {
		c.HTTPAddr = ""
	}
	c.HTTPElsewhere = !l.isSet("ZOOMSTREAM_HTTP_ADDR")
	c.Replica = cmp.Or(c.Replica, replicaName())
	c.SpoolDir = cmp.Or(c.SpoolDir, filepath.Join(c.DataDir, "spool"))
	for setting, value := range map[string]string{
		"ZOOMSTREAM_REPLICA": c.Replica, "ZOOMSTREAM_SPOOL_DIR": c.SpoolDir, "NATS_URL": c.NATS.URL,
	} {
		l.found[setting] = given{value: value, source: l.found[setting].source}
	}
}

var notInToken = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// replicaName returns the host's name, made a valid subject token, with a random suffix, so that
// two replicas on one host differ.
func replicaName() string {
	host, _ := os.Hostname()
	return notInToken.ReplaceAllString(cmp.Or(host, "replica"), "-") + "-" + strings.ToLower(rand.Text()[:6])
}

// compare checks settings against each other. A setting that could not be parsed was reported
// already and is zero here.
func (l *loader) compare(c *Config) {
	if c.LeaseTTL%time.Second != 0 {
		l.fail("ZOOMSTREAM_LEASE_TTL", errors.New("not whole seconds, which is how NATS counts; use for example 15s"))
	}
	if c.StreamMaxAge > 0 && c.DuplicateWindow > c.StreamMaxAge { // nats-server would refuse it
		l.fail("ZOOMSTREAM_DUPLICATE_WINDOW", fmt.Errorf("longer than ZOOMSTREAM_STREAM_MAX_AGE, which is %s; shorten it or keep events longer",
			l.found["ZOOMSTREAM_STREAM_MAX_AGE"].value))
	}
	if prefix, own := c.Prefix+".", "zoomstream."+c.Bucket+"."; strings.HasPrefix(own, prefix) || strings.HasPrefix(prefix, own) {
		l.fail("ZOOMSTREAM_PREFIX", fmt.Errorf("the stream would answer the requests that replicas send each other on %s>, so dead ones would look alive; use another one", own))
	}
	if strings.HasPrefix(c.Prefix, "_INBOX") {
		l.fail("ZOOMSTREAM_PREFIX", errors.New("NATS answers requests there, and the stream would store the answers; use another one"))
	}
	for _, pair := range [][2]string{
		{"NATS_CERT", "NATS_KEY"}, {"NATS_KEY", "NATS_CERT"}, {"NATS_USER", "NATS_PASSWORD"}, {"NATS_PASSWORD", "NATS_USER"},
	} {
		if l.isSet(pair[0]) && !l.isSet(pair[1]) {
			l.fail(pair[0], fmt.Errorf("it needs %s as well; set both or neither", pair[1]))
		}
	}
	if l.isSet("NATS_URL") || l.isSet("NATS_CONTEXT") {
		return
	}
	for _, setting := range []string{"NATS_JS_DOMAIN", "NATS_CREDS", "NATS_NKEY", "NATS_USER", "NATS_TOKEN", "NATS_CA", "NATS_CERT"} {
		if l.isSet(setting) {
			l.fail(setting, errors.New("the embedded NATS server does not use it; set NATS_URL or NATS_CONTEXT, or unset this one"))
		}
	}
	if c.StreamReplicas > 1 {
		l.fail("ZOOMSTREAM_STREAM_REPLICAS", errors.New("the embedded NATS server holds a single one; use 1, or set NATS_URL to a cluster"))
	}
}

func (l *loader) values() []Value {
	var all []Value
	for _, r := range table {
		if g, ok := l.found[r.setting]; ok {
			all = append(all, Value{Name: r.setting, Value: r.redact(g.value), Source: g.source})
		}
	}
	return all
}

// secretFiles returns the files that hold secrets, including the configuration file if it has one.
func (l *loader) secretFiles(from yamlFile) (all []Value) {
	inConfig := false
	for _, r := range table {
		g := l.found[r.setting]
		switch {
		case g.value == "":
		case g.file != "":
			all = append(all, Value{Name: r.setting + fileSuffix, Value: g.file, Source: g.source})
		case slices.Contains([]string{"NATS_CREDS", "NATS_NKEY", "NATS_KEY"}, r.setting):
			all = append(all, Value{Name: r.setting, Value: g.value, Source: g.source})
		case r.kind == "secret" && strings.HasPrefix(g.source, "file "):
			inConfig = true
		}
	}
	if inConfig {
		all = append(all, Value{Name: from.setting, Value: from.path, Source: from.source})
	}
	return all
}
