package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestRules: each case changes the working environment. problem is part of the only error's
// Problem; empty: no error.
func TestRules(t *testing.T) {
	file, dir := writeFile(t, "x"), t.TempDir()
	const server = "NATS_URL=nats://localhost"
	long := strings.Repeat("x", 300)
	cases := []struct {
		vars    string // separated by " & "
		problem string
	}{
		{"ZOOMSTREAM_LEASE_TTL=3s", ""},
		{"ZOOMSTREAM_LEASE_TTL=2999ms", "not a duration from 3s to 5m"},
		{"ZOOMSTREAM_LEASE_TTL=3500ms", "not whole seconds"},
		{"ZOOMSTREAM_LEASE_TTL=15", "not a duration"},
		{"ZOOMSTREAM_LEASE_TTL=-15s", "not a duration"},
		{"ZOOMSTREAM_LEASE_TTL=99999999d", "not a duration"},
		{"ZOOMSTREAM_LEASE_TTL=5m", ""},
		{"ZOOMSTREAM_LEASE_TTL=301s", "not a duration from 3s to 5m"},
		{"ZOOMSTREAM_LEASE_TTL=1h", "not a duration from 3s to 5m"},
		{"ZOOMSTREAM_HEARTBEAT=1s", ""},
		{"ZOOMSTREAM_HEARTBEAT=60s", ""},
		{"ZOOMSTREAM_HEARTBEAT=61s", "not a duration from 1s to 1m"},
		{"ZOOMSTREAM_HEARTBEAT=10m", "not a duration from 1s to 1m"},
		{"ZOOMSTREAM_HEARTBEAT=999ms", "not a duration from 1s to 1m"},
		{"ZOOMSTREAM_DUPLICATE_WINDOW=7d", ""},
		{"ZOOMSTREAM_DUPLICATE_WINDOW=169h", "longer than ZOOMSTREAM_STREAM_MAX_AGE"},
		{"ZOOMSTREAM_DUPLICATE_WINDOW=8d & ZOOMSTREAM_STREAM_MAX_AGE=0", ""},
		{"ZOOMSTREAM_DUPLICATE_WINDOW=99ms", "not a duration of 100ms or more"},
		{"ZOOMSTREAM_STREAM_REPLICAS=3", "embedded"},
		{server + " & ZOOMSTREAM_STREAM_REPLICAS=5", ""},
		{server + " & ZOOMSTREAM_STREAM_REPLICAS=0", "from 1 to 5"},
		{server + " & ZOOMSTREAM_STREAM_REPLICAS=6", "from 1 to 5"},
		{"ZOOMSTREAM_STREAM_REPLICAS=three", "from 1 to 5"},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=-1", "not a size"},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=0", ""},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=1KB", "not a size of 16 MiB or more"},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=16777215", "or 0 for no bound"},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=16MiB", ""},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=9223372036854775807", ""},
		{"ZOOMSTREAM_STREAM_MAX_BYTES=8388608TiB", "not a size"},
		{"ZOOMSTREAM_SPOOL_MAX=0", "not a size of 16 MiB or more"},
		{"ZOOMSTREAM_SPOOL_MAX=1", "not a size of 16 MiB or more"},
		{"ZOOMSTREAM_SPOOL_MAX=16777215", "not a size of 16 MiB or more"},
		{"ZOOMSTREAM_SPOOL_MAX=16MiB", ""},
		{"ZOOMSTREAM_SPOOL_MAX=1G", "not a size"},
		{"ZOOMSTREAM_SPOOL_MAX=9999999TiB", "not a size"},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=https://hooks.slack.com/services/T0/B0/x?y=z", ""},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=http://127.0.0.1:8065/hooks/x", ""},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=http://mattermost.example/hooks/x", "unencrypted http:// is allowed to this machine only; the URL of a webhook looks like"},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=hooks.slack.com/services/T0/B0/x", "it must begin with https://"},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=wss://hooks.slack.com/services/T0/B0/x", "https://, not with wss://"},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=https:///services/T0/B0/x", "no host"},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=https://me:pw@hooks.example/x", "user or password"},
		{`ZOOMSTREAM_ALARM_WEBHOOK_URL="https://hooks.slack.com/services/T0/B0/x"`, `is "***" (hidden, as it may be secret): it is in quotes`},
		{"ZOOMSTREAM_ALARM_WEBHOOK_URL=https://hooks.slack.com/%zz", "not a URL"},
		{"ZOOMSTREAM_FORWARD_SECRET=a secret, \"ours\"", ""},
		{"ZOOMSTREAM_FORWARD_SECRET=a\nb", "give it on one line"},
		{"ZOOMSTREAM_STREAM=my_stream-1", ""},
		{"ZOOMSTREAM_STREAM=a.b", "be a name in NATS"},
		{"ZOOMSTREAM_STREAM=a b", "be a name in NATS"},
		{"ZOOMSTREAM_STREAM=a/b", "be a name in NATS"},
		{`ZOOMSTREAM_STREAM=a\b`, "be a name in NATS"},
		{"ZOOMSTREAM_STREAM=*", "be a name in NATS"},
		{"ZOOMSTREAM_STREAM=>", "be a name in NATS"},
		{"ZOOMSTREAM_STREAM=" + long, "be a name in NATS"},
		{"ZOOMSTREAM_BUCKET=a.b", "be a name in NATS"},
		{"ZOOMSTREAM_BUCKET=a/b", "be a name in NATS"},
		{"ZOOMSTREAM_BUCKET=" + long, "be a name in NATS"},
		{"ZOOMSTREAM_PREFIX=acme.zoom_1-x", ""},
		{"ZOOMSTREAM_PREFIX=zoom.", "empty token"},
		{"ZOOMSTREAM_PREFIX=a..b", "empty token"},
		{"ZOOMSTREAM_PREFIX=$JS", "only A-Z"},
		{"ZOOMSTREAM_PREFIX=zoom.>", "only A-Z"},
		{"ZOOMSTREAM_PREFIX=zoom.*", "only A-Z"},
		{"ZOOMSTREAM_PREFIX=zoöm", "only A-Z"},
		{"ZOOMSTREAM_PREFIX=zoom._bridge", "_bridge"},
		{"ZOOMSTREAM_PREFIX=zoomstream", "replicas send each other on zoomstream.zoomstream.>"},
		{"ZOOMSTREAM_PREFIX=zoomstream.zoomstream.events", "replicas send each other"},
		{"ZOOMSTREAM_PREFIX=zoomstream.b & ZOOMSTREAM_BUCKET=b", "replicas send each other on zoomstream.b.>"},
		{"ZOOMSTREAM_PREFIX=zoomstream.b", ""},
		{"ZOOMSTREAM_PREFIX=zoomstreams", ""},
		{"ZOOMSTREAM_PREFIX=_INBOX", "store the answers"},
		{"ZOOMSTREAM_PREFIX=_INBOX.zoom", "store the answers"},
		{"ZOOMSTREAM_PREFIX=_INBOX_ZOOMSTREAM", "store the answers"},
		{"ZOOMSTREAM_REPLICA=zoomstream-7d4b9-x2x4z", ""},
		{"ZOOMSTREAM_REPLICA=a.b", "be a name in NATS"},
		{"ZOOMSTREAM_SUBJECT_KEY=OFF", ""},
		{"ZOOMSTREAM_SUBJECT_KEY=Account.Object", ""},
		{"ZOOMSTREAM_SUBJECT_KEY=object.account", "use off, object, account, account.object"},
		{"ZOOMSTREAM_SUBJECT_KEY=uuid", "no such choice"},
		{"ZOOMSTREAM_CLOUDEVENTS=On", ""},
		{"ZOOMSTREAM_CLOUDEVENTS=true", "use on, off"},
		{"ZOOMSTREAM_DEDUPE=CONTENT", ""},
		{"ZOOMSTREAM_DEDUPE=none", "no such choice"},
		{"ZOOMSTREAM_LOG_LEVEL=fatal", "no such choice"},
		{"ZOOMSTREAM_LOG_FORMAT=text", "no such choice"},
		{"ZOOMSTREAM_ALARM_LATE=OFF", ""},
		{"ZOOMSTREAM_ALARM_LATE=auto", "not a duration above 0; use for example 5m or 2h, or off"},
		{"ZOOMSTREAM_ALARM_LATE=0", "above 0"},
		{"ZOOMSTREAM_ALARM_SILENT=Auto", ""},
		{"ZOOMSTREAM_ALARM_SILENT=2d", ""},
		{"ZOOMSTREAM_ALARM_SILENT=-1h", "or auto or off"},
		{"ZOOMSTREAM_HTTP_ADDR=OFF", ""},
		{"ZOOMSTREAM_HTTP_ADDR=:0", ""},
		{"ZOOMSTREAM_HTTP_ADDR=localhost", "host and a port"},
		{"ZOOMSTREAM_HTTP_ADDR=localhost:99999", "host and a port"},
		{"ZOOMSTREAM_HTTP_ADDR=http://localhost:80", "host and a port"},
		{"ZOOMSTREAM_NATS_ADDR=:0", ""},
		{"ZOOMSTREAM_NATS_ADDR=off", "host and a port"},

		{"ZOOM_WEBSOCKET_URL=" + endpoint + "aA0_-= \t" + endpoint + "b," + endpoint + "c", ""},
		{"ZOOM_WEBSOCKET_URL=ws://localhost:1/ws?subscriptionId=x", ""},
		{"ZOOM_WEBSOCKET_URL=ws://127.9.9.9/ws?subscriptionId=x", ""},
		{"ZOOM_WEBSOCKET_URL=ws://[::1]:80/ws?subscriptionId=x", ""},
		{"ZOOM_WEBSOCKET_URL=ws://[::ffff:127.0.0.1]/ws?subscriptionId=x", ""},
		{"ZOOM_WEBSOCKET_URL=ws://ws.zoom.us/ws?subscriptionId=x", "unencrypted ws://"},
		{"ZOOM_WEBSOCKET_URL=ws://localhost.evil.com/ws?subscriptionId=x", "unencrypted ws://"},
		{"ZOOM_WEBSOCKET_URL=ws://127.0.0.1.evil.com/ws?subscriptionId=x", "unencrypted ws://"},
		{"ZOOM_WEBSOCKET_URL=https://ws.zoom.us/ws?subscriptionId=x", "begin with wss://"},
		{"ZOOM_WEBSOCKET_URL=ws.zoom.us/ws?subscriptionId=x", "begin with wss://"},
		{"ZOOM_WEBSOCKET_URL=wss:///ws?subscriptionId=x", "no host"},
		{"ZOOM_WEBSOCKET_URL=wss://me:pw@ws.zoom.us/ws?subscriptionId=x", "user or password"},
		{`ZOOM_WEBSOCKET_URL="wss://ws.zoom.us/ws?subscriptionId=x"`, `is "\"wss://ws.zoom.us/ws?subscriptionId=x\"": URL 1 of 1: it is in quotes`},
		{"ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws?subscriptionid=x", "its parameter subscriptionid must be written subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=https://ws.zoom.us/ws?subscriptionId=x", "wss://, not with https://"},
		{"ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws", "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint, "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint + "a&subscriptionId=b", "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint + "a%zz", "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint + "a.b", "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint + "a%20b", "parameter subscriptionId"},
		{"ZOOM_WEBSOCKET_URL=" + endpoint + "a " + endpoint + "a&x=y", "URL 2 of 2: its subscription is listed already"},
		{"ZOOM_WEBSOCKET_URL=,", "contains no URL"},
		{"ZOOM_OAUTH_URL=https://zoomgov.com/oauth/token", ""},
		{"ZOOM_OAUTH_URL=http://127.0.0.1:9/oauth/token", ""},
		{"ZOOM_OAUTH_URL=http://zoom.us/oauth/token", "unencrypted http://"},
		{"ZOOM_OAUTH_URL=http://127.1/oauth/token", "unencrypted http://"},
		{"ZOOM_OAUTH_URL=zoom.us/oauth/token", `is "zoom.us/oauth/token": it must begin with https://`},
		{"ZOOM_OAUTH_URL='https://zoom.us/oauth/token'", `is "'https://zoom.us/oauth/token'": it is in quotes`},
		{`NATS_URL="nats://prod:4222,nats://prod:4223"`, `is "\"nats://prod:4222,nats://prod:4223\"": it is in quotes`},
		{`NATS_URL="nats://user:pass@prod:4222"`, `is "\"nats://prod:4222\"": it is in quotes`},
		{"NATS_URL=http://prod:4222", `is "http://prod:4222": not a list of NATS servers`},

		{"ZOOM_CLIENT_SECRET='quoted'", "quote, white space"},
		{"ZOOM_CLIENT_SECRET=two words", "quote, white space"},
		{"ZOOM_CLIENT_ID=\ufeffid", "quote, white space"},
		{"ZOOM_ACCOUNT_ID=\"\"", "quote, white space"},

		{"NATS_URL=nats://a:4222, tls://user:p%2Cw@b ,c:4222", ""},
		{"NATS_URL=http://a", "not a list of NATS servers"},
		{"NATS_URL=nats://", "not a list of NATS servers"},
		{"NATS_URL=,", "not a list of NATS servers"},
		{"NATS_URL=user:pw@host", "not a list of NATS servers"},
		{"NATS_URL=nats://user:p,w@host", "percent-encoded"},
		{"NATS_URL=nats://user:1,w@host", "percent-encoded"},
		{server + " & NATS_CERT=" + file + " & NATS_KEY=" + file, ""},
		{server + " & NATS_CERT=" + file, "needs NATS_KEY"},
		{server + " & NATS_KEY=" + file, "needs NATS_CERT"},
		{server + " & NATS_USER=u & NATS_PASSWORD=p w", ""},
		{server + " & NATS_USER=u", "needs NATS_PASSWORD"},
		{server + " & NATS_PASSWORD=p", "needs NATS_USER"},
		{server + " & NATS_TOKEN=a\nb", "control character"},
		{server + " & NATS_CREDS=" + file, ""},
		{server + " & NATS_CREDS=" + filepath.Join(dir, "none"), "no such file"},
		{server + " & NATS_NKEY=" + dir, "is a directory"},
		{"NATS_CONTEXT=prod & NATS_TOKEN=t", ""},
		{"NATS_TOKEN=t", "embedded NATS server does not use it"},
		{"NATS_CREDS=" + file, "embedded NATS server does not use it"},
		{"NATS_JWT=x & NATS_SEED=x & NATS_TIMEOUT=x & NATS_PORT=tcp://10.0.0.1:4222", ""},
	}
	for _, c := range cases {
		t.Run(c.vars, func(t *testing.T) {
			_, err := loadWith(strings.Split(c.vars, " & ")...)
			if c.problem == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			all := err.(interface{ Unwrap() []error }).Unwrap()
			e, ok := all[0].(*Error)
			if len(all) != 1 || !ok || !strings.Contains(e.Error(), c.problem) {
				t.Errorf("errors are\n%v\nwant one with %q", err, c.problem)
			}
			if ok && e.Source == "" {
				t.Errorf("no source in %+v", e)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	c, err := loadWith("ZOOM_WEBSOCKET_URL=" + endpoint + "a&x=%2F&access_token=T," + "wss://h:1/?subscriptionId=b&x=%2f")
	if err != nil {
		t.Fatal(err)
	}
	want := []Endpoint{
		{URL: endpoint + "a&x=%2F", Subscription: "a"},
		{URL: "wss://h:1/?subscriptionId=b&x=%2f", Subscription: "b"},
	}
	if !reflect.DeepEqual(c.Zoom.Endpoints, want) {
		t.Errorf("endpoints are %v, want %v", c.Zoom.Endpoints, want)
	}
}

func TestServers(t *testing.T) {
	c, err := loadWith("NATS_URL=a:1, tls://u:p@b ,")
	if err != nil {
		t.Fatal(err)
	}
	if want := "nats://a:1,tls://u:p@b"; c.NATS.URL != want || c.NATS.Embedded() {
		t.Errorf("servers are %q (embedded: %v), want %q", c.NATS.URL, c.NATS.Embedded(), want)
	}
}

func TestHTTPOff(t *testing.T) {
	c, err := loadWith("ZOOMSTREAM_HTTP_ADDR=off")
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTPAddr != "" {
		t.Errorf("off gives %q", c.HTTPAddr)
	}
}

func TestSpoolFollowsDataDir(t *testing.T) {
	c, err := loadWith("ZOOMSTREAM_DATA_DIR=/var/lib/zoomstream")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join("/var/lib/zoomstream", "spool"); c.SpoolDir != want {
		t.Errorf("spool is in %q, want %q", c.SpoolDir, want)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "15s": 15 * time.Second, "7d": 168 * time.Hour, "1.5h": 90 * time.Minute, "65535d": 65535 * 24 * time.Hour,
	} {
		var got time.Duration
		if err := duration(&got, 0, 0)(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "d", "-1s", "-1d", "1.5d", "1 d", "1D", "1y", "65536d", "9223372037s"} {
		var got time.Duration
		if err := duration(&got, 0, 0)(text); err == nil || got != 0 {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "10": 10, "10B": 10, "500MB": 500e6, "1GiB": 1 << 30, "1TiB": 1 << 40,
		"3KB": 3000, "4KiB": 4096, "5GB": 5e9, "6TB": 6e12, "7MiB": 7 << 20, "9223372036854775807": 1<<63 - 1,
	} {
		var got int64
		if err := size(&got, 0)(text); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "-1GiB", "1.5GiB", "1K", "1G", "1Gi", "1PiB", "1\nB", "1BB", "9223372036854775808", "8388608TiB"} {
		var got int64
		if err := size(&got, 0)(text); err == nil || got != 0 {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}
