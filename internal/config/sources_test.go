package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// settingsOf puts variables into the fields of their flags.
func settingsOf(vars map[string]string) Settings {
	var s Settings
	v := reflect.ValueOf(&s).Elem()
	for i, r := range table {
		v.Field(i).SetString(vars[r.setting])
	}
	return s
}

func TestUnknownVariables(t *testing.T) {
	for name, near := range map[string]string{
		"ZOOM_CLIENT_SECERT":           "ZOOM_CLIENT_SECRET",
		"ZOOM_CLIENT_SECERT_FILE":      "ZOOM_CLIENT_SECRET_FILE",
		"ZOOM_WEBSOCKET_URLS":          "ZOOM_WEBSOCKET_URL",
		"ZOOM_STREAM_MAX_AGE":          "ZOOMSTREAM_STREAM_MAX_AGE",
		"ZOOMSTREAM_NATS_URL":          "NATS_URL",
		"ZOOMSTREAM_LEASE_TLL":         "ZOOMSTREAM_LEASE_TTL",
		"ZOOMSTREAM_CONFG":             "ZOOMSTREAM_CONFIG",
		"ZOOMSTREAM_CONFIG_YAML":       "ZOOMSTREAM_CONFIG",
		"ZOOMSTREAM_LEASETTL":          "ZOOMSTREAM_LEASE_TTL",
		"ZOOMSTREAM_HTTP_PORT":         "ZOOMSTREAM_HTTP_ADDR",
		"ZOOMSTREAM_zoom_client_id":    "ZOOM_CLIENT_ID",
		"ZOOMSTREAM_STREAM_FILE":       "ZOOMSTREAM_STREAM",
		"ZOOMSTREAM_STREAM_REPLICAS_2": "ZOOMSTREAM_STREAM_REPLICAS",
	} {
		_, err := loadWith(name + "=" + marker)
		wantErrors(t, err, name+" (environment): no such setting; did you mean "+near+"?")
	}
}

// TestMisspelledNATSVariables: a NATS_* variable is an error only if it is almost the name of a
// setting, and that is not set.
func TestMisspelledNATSVariables(t *testing.T) {
	for name, near := range map[string]string{
		"NATS_ULR": "NATS_URL", "NATS_URLS": "NATS_URL", "NATS_URL_FIEL": "NATS_URL_FILE", "NATS_CERDS": "NATS_CREDS", "NATS_CONTXT": "NATS_CONTEXT", "NATS_PASSWD": "NATS_PASSWORD",
	} {
		_, err := loadWith(name + "=" + marker)
		wantErrors(t, err, name+" (environment): no such setting; did you mean "+near+"?")
		if _, err := loadWith(name+"="+marker, "NATS_URL=nats://a", "NATS_URL_FILE="); strings.HasPrefix(near, "NATS_URL") && err != nil {
			t.Errorf("%s beside NATS_URL: %v", name, err)
		}
	}
	if _, err := loadWith("NATS_TIMEOUT=5s", "NATS_SERVER_NAME=x", "NATS_PORT=4222", "NATS_PORT_4222_TCP=tcp://10.0.0.1:4222", "NATS_SOCKS_PROXY=x", "NATS_TLS_FIRST=true", "NATS_HOST=x", "NATS_ULR="); err != nil {
		t.Errorf("other programs' variables: %v", err)
	}
}

// TestKubernetesVariables: variables that Kubernetes injects for Services are no errors. Those that
// only look a little like them are.
func TestKubernetesVariables(t *testing.T) {
	var vars []string
	for _, service := range []string{"ZOOMSTREAM", "ZOOMSTREAM_METRICS", "ZOOM_SIM"} {
		port := service + "_PORT_8480_TCP"
		vars = append(vars,
			service+"_SERVICE_HOST=10.0.0.1", service+"_SERVICE_PORT=8480", service+"_SERVICE_PORT_HTTP_WEB=8480",
			service+"_PORT=tcp://10.0.0.1:8480", port+"=tcp://10.0.0.1:8480",
			port+"_PROTO=tcp", port+"_PORT=8480", port+"_ADDR=10.0.0.1", service+"_PORT_53_UDP=udp://10.0.0.1:53")
	}
	if _, err := loadWith(vars...); err != nil {
		t.Error(err)
	}
	for _, typo := range []string{
		"ZOOMSTREAM_PORT=8480", "ZOOMSTREAM_HTTP_PORT=8480", "ZOOMSTREAM_PORT_HTTP=x", "ZOOMSTREAM_SERVICE=x",
		"ZOOMSTREAM_PORT_8480=x", "ZOOMSTREAM_PORT_8480_TCP_HOST=x", "ZOOM_HOST=x",
	} {
		if _, err := loadWith(typo); err == nil {
			t.Errorf("%s is taken for a variable of Kubernetes", typo)
		}
	}
}

func TestLastVariableCounts(t *testing.T) {
	c, err := Load(Settings{}, "", append(environ(working()), "ZOOMSTREAM_STREAM=a", "ZOOMSTREAM_STREAM=b"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Stream != "b" {
		t.Errorf("stream is %q", c.Stream)
	}
}

func TestFileValues(t *testing.T) {
	path := writeFile(t, "\ufeff# all shapes of a value\r\n"+`---
zoom_account_id: 0012
"zoom_secret_token": 1e5
zoom_websocket_url:
  - wss://ws.zoom.us/ws?subscriptionId=a # the first
  - 'wss://ws.zoom.us/ws?subscriptionId=b'
nats_url: [ "nats://a", b:1 ]
nats_user: yes
nats_password: |
  two words
stream_max_bytes: 20000000
stream_max_age: 7d
http_addr: off
lease_ttl: "20s"
`)
	env := working()
	delete(env, "ZOOM_WEBSOCKET_URL")
	c, err := Load(Settings{}, path, environ(env))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.Zoom.AccountID, c.Zoom.SecretToken, c.Zoom.Endpoints, c.NATS.URL, c.NATS.User, c.NATS.Password,
		c.StreamMaxBytes, c.StreamMaxAge, c.HTTPAddr, c.LeaseTTL)
	want := fmt.Sprintln("0012", "1e5", []Endpoint{{endpoint + "a", "a"}, {endpoint + "b", "b"}}, "nats://a,nats://b:1", "yes", "two words",
		int64(20e6), "168h0m0s", "", "20s")
	if got != want {
		t.Errorf("file gives\n%s, want\n%s", got, want)
	}
}

func TestFileWithoutValues(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n# nothing\n", "{}\n", "stream:\n", "unknown:\n"} {
		if _, err := Load(Settings{}, writeFile(t, text), environ(working())); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFileErrors(t *testing.T) {
	const shape = "not a text, a number or a list of them; write it on one line, and quote what YAML would read as something else"
	const fix, near = "; write one setting per line with a space after the colon, for example lease_ttl: 15s", "the file is not valid YAML near line "
	for text, want := range map[string]string{
		"zoom-client-id: x":                   "zoom-client-id (file FILE:1): no such setting; did you mean zoom_client_id?",
		"\n\nZOOMSTREAM_LEASE_TTL: 3s":        "ZOOMSTREAM_LEASE_TTL (file FILE:3): no such setting; did you mean lease_ttl?",
		"leasettl: 3s":                        "leasettl (file FILE:1): no such setting; did you mean lease_ttl?",
		"nats_token:" + marker + ": x":        "nats_token (file FILE:1): no such setting; did you mean nats_token?",
		"stream: {a: b}":                      "ZOOMSTREAM_STREAM (file FILE:1): " + shape,
		"nats_url: [{a: b}]":                  "NATS_URL (file FILE:1): " + shape,
		"stream: a\nbucket: b\n'stream': c":   `--config is "FILE": line 3 repeats the key stream of line 1; keep one of the two`,
		"stream: a\n---\nstream: b":           `--config is "FILE": the file holds more than one YAML document; remove the second --- and what follows it, or merge them`,
		"just text":                           `--config is "FILE": line 1 is not a setting with its value` + fix,
		"- a":                                 `--config is "FILE": line 1 is not a setting with its value` + fix,
		"stream: a\nnats_token: |" + marker:   `--config is "FILE": ` + near + "2: did not find expected comment or line break" + fix,
		"stream: a\nnats_token:" + marker:     `--config is "FILE": ` + near + "2: could not find expected ':'" + fix,
		"nats_token:\n  " + marker + ": [x, ": `--config is "FILE": ` + near + "2: did not find expected node content" + fix,
		marker + ": a\n" + marker + ": b":     `--config is "FILE": line 2 repeats the key of line 1; keep one of the two`,
		"stream: a\n\tbucket: b":              `--config is "FILE": ` + near + "2: found a tab character that violates indentation; indent with spaces",
		"nats_token: @" + marker:              `--config is "FILE": ` + strings.TrimSuffix(near, " near line ") + ": found character that cannot start any token; put a text that begins with a tab, @, ` or % in quotes, and indent with spaces",
		"nats_token: *" + marker:              `--config is "FILE": the file is not valid YAML: an anchor (*name) is unknown or contains itself; put a text that begins with * in quotes`,
		"prefix: a: b":                        `--config is "FILE": the file is not valid YAML: mapping values are not allowed in this context; put a text that contains a colon and a space in quotes, and indent all settings alike`,
		"zoom: {client_id: x}":                "zoom (file FILE:1): no such setting, and settings do not nest; write each at the left margin under its full name, for example zoom_client_id: …",
	} {
		path := writeFile(t, text)
		_, err := Load(Settings{}, path, environ(working()))
		wantErrors(t, err, strings.ReplaceAll(want, "FILE", path))
	}
}

// TestUnreadableFile: a file that cannot be read may have the missing settings, so none is reported
// as missing then.
func TestUnreadableFile(t *testing.T) {
	path := t.TempDir() + "/none.yaml"
	_, err := Load(Settings{}, path, nil)
	if err == nil || !strings.Contains(err.Error(), path+"\": the file cannot be read: no such file") || strings.Contains(err.Error(), "not set") {
		t.Errorf("no file: %v", err)
	}
}
