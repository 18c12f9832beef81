package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

const endpoint = "wss://ws.zoom.us/ws?subscriptionId="

// working is the least environment that is valid.
func working() map[string]string {
	return map[string]string{
		"ZOOM_CLIENT_ID":     "id",
		"ZOOM_CLIENT_SECRET": "secret",
		"ZOOM_WEBSOCKET_URL": endpoint + "sub",
	}
}

func environ(vars map[string]string) []string {
	var list []string
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	return list
}

// loadWith loads the working environment with some variables changed, given as "NAME=value".
func loadWith(vars ...string) (*Config, error) {
	all := working()
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		all[name] = value
	}
	return Load(Settings{}, "", environ(all))
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDefaults checks the defaults that are computed, or are more than a text. contract has all of
// them.
func TestDefaults(t *testing.T) {
	c, err := loadWith()
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if !strings.HasPrefix(c.Replica, strings.SplitN(host, ".", 2)[0]) || natsName(c.Replica) != nil {
		t.Errorf("replica %q is not made of the host's name %q", c.Replica, host)
	}
	again, err := loadWith()
	if err != nil {
		t.Fatal(err)
	}
	if again.Replica == c.Replica {
		t.Errorf("two replicas on one host have the name %q", c.Replica)
	}
	if !c.NATS.Embedded() {
		t.Error("without a NATS setting the server is not embedded")
	}
	if c.SpoolDir != filepath.Join("data", "spool") || !c.HTTPElsewhere || c.LeaseTTL != 15*time.Second || c.SpoolMax != 1<<30 || c.AlarmSilent != AutoSilent {
		t.Errorf("defaults are %+v", c)
	}
	if want := (Value{Name: "ZOOMSTREAM_CONFIG", Source: "default"}); c.File != want {
		t.Errorf("without a file there is %+v", c.File)
	}
}

// samples returns three valid values of each setting.
func samples(t *testing.T) map[string][3]string {
	all := make(map[string][3]string)
	for _, c := range contract {
		for i, sample := range c.samples {
			if text, isFile := strings.CutPrefix(sample, "@"); isFile {
				c.samples[i] = writeFile(t, text)
			}
		}
		all[c.setting] = c.samples
	}
	return all
}

// TestPrecedence: every setting works in the file, in the environment (which takes precedence over
// the file) and as a flag (which takes precedence over both), and some also as NAME_FILE in each.
// kong puts each flag into its field.
func TestPrecedence(t *testing.T) {
	values := samples(t)
	partner := map[string]string{
		"NATS_USER": "NATS_PASSWORD", "NATS_PASSWORD": "NATS_USER", "NATS_CERT": "NATS_KEY", "NATS_KEY": "NATS_CERT",
	}
	for _, r := range table {
		name, isFile := strings.CutSuffix(r.setting, fileSuffix)
		sample, known := values[name]
		if !known {
			t.Errorf("no sample for %s", r.setting)
			continue
		}
		want := len(slices.Compact(slices.Sorted(slices.Values(sample[:]))))
		if isFile {
			for i, v := range sample {
				sample[i] = writeFile(t, v+"\n")
			}
		}
		t.Run(r.setting, func(t *testing.T) {
			env := map[string]string{"NATS_URL": "localhost"}
			maps.Copy(env, working())
			if pair := partner[name]; pair != "" {
				env[pair] = values[pair][0]
			}
			delete(env, name)
			path := writeFile(t, fmt.Sprintf("# comment\n%s: %s\n", r.key, sample[0]))

			seen := map[string]bool{}
			step := func(args []string, source string) {
				t.Helper()
				c, err := Load(parseFlags(t, args), path, environ(env))
				if err != nil {
					t.Fatalf("from %s: %v", source, err)
				}
				for _, v := range c.Effective() {
					if v.Name == name && v.Source != source {
						t.Errorf("source is %q, want %q", v.Source, source)
					}
				}
				c.values = nil
				if name != "ZOOMSTREAM_REPLICA" {
					c.Replica = ""
				}
				seen[fmt.Sprintf("%+v", c)] = true
			}
			step(nil, "file "+path+":2")
			env[r.setting] = sample[1]
			step(nil, "environment "+r.setting)
			step([]string{"--" + r.flag, sample[2]}, "flag --"+r.flag)
			if len(seen) != want {
				t.Errorf("%d different configurations from three sources, want %d", len(seen), want)
			}
		})
	}
}

// newParser returns a parser whose commands have the settings, like the program's.
func newParser(t *testing.T, s *Settings, options ...kong.Option) *kong.Kong {
	t.Helper()
	var cli struct {
		Run struct {
			Config string `help:"YAML file with settings." env:"OTHER"`
			*Settings
		} `cmd:""`
	}
	cli.Run.Settings = s
	k, err := kong.New(&cli, options...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func parseFlags(t *testing.T, args []string) Settings {
	t.Helper()
	var s Settings
	if _, err := newParser(t, &s).Parse(append([]string{"run"}, args...)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLayersOfASecret(t *testing.T) {
	path := writeFile(t, "from-file\n")
	c, err := Load(Settings{ZoomClientSecretFile: path}, "", environ(working()))
	if err != nil {
		t.Fatal(err)
	}
	if c.Zoom.ClientSecret != "from-file" {
		t.Errorf("a flag's file does not win over the environment: %q", c.Zoom.ClientSecret)
	}
	_, err = loadWith("ZOOM_CLIENT_SECRET_FILE=" + path)
	wantErrors(t, err, `ZOOM_CLIENT_SECRET (environment) is "***" (hidden, as it may be secret): set together with ZOOM_CLIENT_SECRET_FILE; keep one of the two`)
}

func TestEmptyIsUnset(t *testing.T) {
	path := writeFile(t, "lease_ttl: 20s\nbucket: ~\nspool_max:\nstream: ''\n")
	vars := working()
	for _, r := range table {
		if vars[r.setting] == "" {
			vars[r.setting] = " "
		}
	}
	vars["ZOOM_UNKNOWN"] = ""
	c, err := Load(Settings{LeaseTTL: " "}, path, environ(vars))
	if err != nil {
		t.Fatal(err)
	}
	if c.LeaseTTL != 20*time.Second || c.Bucket != "zoomstream" || c.SpoolMax != 1<<30 || c.Stream != "ZOOM" {
		t.Errorf("empty values count: %+v", c)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	path := writeFile(t, "strem: x\nspool_max: much\n")
	_, err := Load(Settings{Heartbeat: "1ms"}, path, []string{
		"ZOOMSTREAM_LEASE_TTL=abc", "ZOOM_CLIENTID=x", "ZOOM_CLIENT_SECRET=s", "ZOOMSTREAM_HTTP_ADDR=8480",
	})
	wantErrors(t, err,
		"ZOOM_CLIENTID (environment): no such setting; did you mean ZOOM_CLIENT_ID?",
		"strem (file "+path+":1): no such setting; did you mean stream?",
		`ZOOMSTREAM_LEASE_TTL (environment) is "abc": not a duration from 3s to 5m; use for example 15s`,
		`ZOOMSTREAM_HEARTBEAT (flag --heartbeat) is "1ms": not a duration from 1s to 1m; use for example 15s`,
		`ZOOMSTREAM_SPOOL_MAX (file `+path+`:2) is "much": not a size of 16 MiB or more; use for example 1GiB, 500MB or a number of bytes`,
		`ZOOMSTREAM_HTTP_ADDR (environment) is "8480": not a host and a port; use for example 127.0.0.1:8480, :8480 for all interfaces, or off`,
	)
	missing, ok := errors.AsType[*MissingError](err)
	if !ok || !slices.Equal(missing.Settings, []string{"ZOOM_CLIENT_ID", "ZOOM_WEBSOCKET_URL"}) {
		t.Errorf("missing: %v", missing)
	}
}

// wantErrors checks that err consists of exactly these texts of *Error, in any order.
func wantErrors(t *testing.T, err error, want ...string) {
	t.Helper()
	var got []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if e, ok := errors.AsType[*Error](e); ok {
				got = append(got, e.Error())
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("errors are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestLoadWithoutZoom: Zoom's settings may be missing for commands that need only NATS. Those that
// are there are still checked.
func TestLoadWithoutZoom(t *testing.T) {
	c, err := LoadWithoutZoom(Settings{}, "", []string{"NATS_URL=nats://a"})
	if err != nil || c.NATS.URL != "nats://a" {
		t.Errorf("without Zoom's settings: %+v, %v", c, err)
	}
	if _, err := LoadWithoutZoom(Settings{}, "", []string{"ZOOM_CLIENT_ID='x'", "ZOOMSTREAM_PREFIX=a b"}); err == nil ||
		!strings.Contains(err.Error(), "ZOOM_CLIENT_ID") || !strings.Contains(err.Error(), "ZOOMSTREAM_PREFIX") {
		t.Errorf("with wrong settings: %v", err)
	}
	c, err = LoadWithoutZoom(Settings{}, "", []string{"ZOOM_API_KEY=" + marker})
	if err != nil || len(c.Foreign()) != 1 || !strings.HasPrefix(c.Foreign()[0].Error(), "ZOOM_API_KEY (environment): no such setting; did you mean ") {
		t.Errorf("with another program's variable: %v, %v", c, err)
	}
}
