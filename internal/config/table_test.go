package config

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// contract has the names and defaults that users rely on, written down a second time, and three
// valid values of each setting: for file, environment and flag. @ stands for the path of a file
// with the text after it.
var contract = []struct {
	setting, preset string
	samples         [3]string
}{
	{"ZOOM_CLIENT_ID", "", [3]string{"a", "b", "c"}},
	{"ZOOM_CLIENT_SECRET", "", [3]string{"a", "b", "c"}},
	{"ZOOM_ACCOUNT_ID", "", [3]string{"a", "b", "c"}},
	{"ZOOM_WEBSOCKET_URL", "", [3]string{endpoint + "a", endpoint + "b", endpoint + "c"}},
	{"ZOOM_OAUTH_URL", "https://zoom.us/oauth/token", [3]string{"https://a/", "https://b/", "https://c/"}},
	{"ZOOM_SECRET_TOKEN", "", [3]string{"a", "b", "c"}},
	{"NATS_URL", "", [3]string{"nats://a", "nats://b", "nats://c"}},
	{"NATS_CONTEXT", "", [3]string{"a", "b", "c"}},
	{"NATS_JS_DOMAIN", "", [3]string{"a", "b", "c"}},
	{"NATS_CREDS", "", [3]string{"@a", "@b", "@c"}},
	{"NATS_NKEY", "", [3]string{"@a", "@b", "@c"}},
	{"NATS_USER", "", [3]string{"a", "b", "c"}},
	{"NATS_PASSWORD", "", [3]string{"a", "b", "c"}},
	{"NATS_TOKEN", "", [3]string{"a", "b", "c"}},
	{"NATS_CA", "", [3]string{"@a", "@b", "@c"}},
	{"NATS_CERT", "", [3]string{"@a", "@b", "@c"}},
	{"NATS_KEY", "", [3]string{"@a", "@b", "@c"}},
	{"ZOOMSTREAM_NATS_ADDR", "127.0.0.1:4222", [3]string{"127.0.0.1:1", "127.0.0.1:0", ":3"}},
	{"ZOOMSTREAM_NATS_ANONYMOUS", "read", [3]string{"read", "none", "read"}},
	{"ZOOMSTREAM_STREAM", "ZOOM", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_STREAM_REPLICAS", "1", [3]string{"2", "3", "5"}},
	{"ZOOMSTREAM_STREAM_MAX_AGE", "7d", [3]string{"1d", "7d", "36h"}},
	{"ZOOMSTREAM_STREAM_MAX_BYTES", "0", [3]string{"16777216", "17MB", "17MiB"}},
	{"ZOOMSTREAM_PREFIX", "zoom", [3]string{"a", "a.b", "c"}},
	{"ZOOMSTREAM_SUBJECT_KEY", "off", [3]string{"object", "account", "account.object"}},
	{"ZOOMSTREAM_CLOUDEVENTS", "off", [3]string{"on", "off", "on"}},
	{"ZOOMSTREAM_DEDUPE", "tracking", [3]string{"tracking", "content", "tracking"}},
	{"ZOOMSTREAM_DUPLICATE_WINDOW", "30m", [3]string{"1m", "2m", "3m"}},
	{"ZOOMSTREAM_BUCKET", "zoomstream", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_REPLICA", "", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_LEASE_TTL", "15s", [3]string{"3s", "4s", "5s"}},
	{"ZOOMSTREAM_HEARTBEAT", "25s", [3]string{"1s", "2s", "3s"}},
	{"ZOOMSTREAM_RENEW", "auto", [3]string{"always", "never", "auto"}},
	{"ZOOMSTREAM_DATA_DIR", "./data", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_SPOOL_DIR", "", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_SPOOL_MAX", "1GiB", [3]string{"16777216", "17MB", "1GiB"}},
	{"ZOOMSTREAM_ALARM_LATE", "5m", [3]string{"1m", "2h", "off"}},
	{"ZOOMSTREAM_ALARM_SILENT", "auto", [3]string{"1h", "off", "auto"}},
	{"ZOOMSTREAM_ALARM_WEBHOOK_URL", "", [3]string{"https://a/", "https://b/", "http://localhost/"}},
	{"ZOOMSTREAM_FORWARD_SECRET", "", [3]string{"a", "b", "c"}},
	{"ZOOMSTREAM_HTTP_ADDR", "127.0.0.1:8480", [3]string{"off", ":0", "[::1]:80"}},
	{"ZOOMSTREAM_PAGE_EVENTS", "auto", [3]string{"on", "off", "auto"}},
	{"ZOOMSTREAM_LOG_LEVEL", "info", [3]string{"debug", "warn", "error"}},
	{"ZOOMSTREAM_LOG_FORMAT", "auto", [3]string{"json", "console", "auto"}},
}

// TestTable: each setting has all that the program needs of it, and names and defaults have not
// changed.
func TestTable(t *testing.T) {
	var got []string
	for i, r := range table {
		if r.kind != "file" {
			got = append(got, strings.TrimSuffix(r.setting+"="+r.preset, "="))
		}
		if next := table[min(i+1, len(table)-1)]; (r.kind == "secret" || r.setting == "NATS_URL") && (next.setting != r.setting+fileSuffix || next.kind != "file") {
			t.Errorf("%s has no %s", r.setting, fileSuffix)
		}
		flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(r.setting, "ZOOMSTREAM_"), "_", "-"))
		if r.flag != flag {
			t.Errorf("%s has the flag %s, want %s", r.setting, r.flag, flag)
		}
		if !slices.Contains([]string{"", "secret", "file", "url", "path"}, r.kind) {
			t.Errorf("%s is of kind %q", r.setting, r.kind)
		}
		if r.help == "" || strings.ContainsAny(r.help, "$|") || !strings.HasSuffix(r.help, ".") {
			t.Errorf("%s: help %q", r.setting, r.help)
		}
		tag := reflect.TypeFor[Settings]().Field(i).Tag
		if tag.Get("placeholder") == "" || tag.Get("group") == "" {
			t.Errorf("%s has no placeholder or group", r.setting)
		}
	}
	var want []string
	for _, c := range contract {
		want = append(want, strings.TrimSuffix(c.setting+"="+c.preset, "="))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%v, want\n%v", got, want)
	}
}

func TestMarkdown(t *testing.T) {
	text := Markdown()
	for _, line := range []string{
		"| `ZOOMSTREAM_LEASE_TTL` | `--lease-ttl` | `lease_ttl` | `15s` | Life of a lease, ",
		"| `ZOOMSTREAM_SPOOL_DIR` | `--spool-dir` | `spool_dir` | `<data dir>/spool` | ",
		"| `NATS_TOKEN` | `--nats-token` | `nats_token` | – | Token to log in with. Also as `NATS_TOKEN_FILE`. |\n",
		"| `NATS_URL` | `--nats-url` | `nats_url` | – | NATS servers, comma separated. Without it and without a context, an embedded server is started. Also as `NATS_URL_FILE`. |\n",
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	cells := regexp.MustCompile(`[^\\]\|`)
	for line := range strings.Lines(text) {
		if n := len(cells.FindAllString(line, -1)); n != 5 {
			t.Errorf("%d cells in %q", n, line)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	k := newParser(t, &Settings{}, kong.ValueFormatter(HelpValue), kong.Writers(&out, &out), kong.Exit(func(int) {}))
	k.Parse([]string{"run", "--help"}) //nolint:errcheck // after the help it misses nothing
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"--lease-ttl=DURATION Life of a lease, in whole seconds, 3s to 5m; bounds the gap after the loss of a host. Default 15s. ($ZOOMSTREAM_LEASE_TTL)",
		"--spool-dir=DIR Folder for events that NATS does not take yet. Default <data dir>/spool. ($ZOOMSTREAM_SPOOL_DIR)",
		"A flag is visible in ps: prefer the environment or --zoom-client-secret-file. ($ZOOM_CLIENT_SECRET)",
		"YAML file with settings ($OTHER).",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, out.String())
		}
	}
}

// TestKongLeavesTheRestEmpty: kong fills in nothing by itself.
func TestKongLeavesTheRestEmpty(t *testing.T) {
	t.Setenv("ZOOMSTREAM_STREAM", "x")
	if got, want := parseFlags(t, []string{"--bucket", "b"}), (Settings{Bucket: "b"}); got != want {
		t.Errorf("settings are %+v", got)
	}
}

func TestMissingError(t *testing.T) {
	_, err := Load(Settings{}, "", nil)
	for _, want := range []string{
		"not set: ZOOM_CLIENT_ID, ZOOM_CLIENT_SECRET, ZOOM_WEBSOCKET_URL\n",
		"https://marketplace.zoom.us → Develop", "App Credentials: Client Secret", "method WebSocket, the endpoint URL",
		"ZOOM_CLIENT_SECRET=…", "ZOOM_CLIENT_SECRET_FILE=path", "--zoom-client-secret=…", "--config file", "zoomstream demo needs none",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	_, err = loadWith("ZOOM_CLIENT_SECRET=")
	if err == nil || !strings.HasPrefix(err.Error(), "not set: ZOOM_CLIENT_SECRET\n") || strings.Contains(err.Error(), "ZOOM_CLIENT_ID=") {
		t.Errorf("only the secret is missing: %v", err)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	_, err := loadWith("ZOOMSTREAM_DEDUPE=" + strings.Repeat("ä", 100_000) + "\nx")
	if text := err.Error(); len(text) > 600 || strings.Contains(text, "\n") || !strings.Contains(text, "ää") {
		t.Errorf("%d bytes: %.700s", len(text), text)
	}
}
