package main

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
)

// mistake is something that people get wrong, and what the program's answer must and must not
// contain. $DIR is a folder with mistakeFiles; $WEB and $HTTPS are servers with mistakeAnswers, and
// $NOHOST is the address of $WEB; $PROXY refuses; $NATS and $LOCKED are NATS servers; nobody
// listens at $NOBODY.
type mistake struct {
	environ string   // NAME=value, separated by " & ", on top of valid settings; an empty value removes one
	args    string   // separated by spaces
	code    int      // exit code
	want    []string // texts that the output must contain
	not     []string // texts that it must not contain; "must-not-leak" never
	process bool     // needs a process of its own, for its environment
}

var mistakeFiles = map[string]string{
	"tab.yaml":                   "lease_ttl: 15s\n\tstream: EVENTS\n",
	"twice.yaml":                 "stream: A\nlease_ttl: 15s\nstream: B\n",
	"nospace.yaml":               "stream:EVENTS\n",
	"nested.yaml":                "zoom:\n  client_secret: must-not-leak\n",
	"at.yaml":                    "nats_password: @must-not-leak\n",
	"colon.yaml":                 "prefix: a: b\n",
	"alias.yaml":                 "nats_password: *must-not-leak\n",
	"open.yaml":                  "stream: \"EVENTS\n",
	"two.yaml":                   "stream: A\n---\nstream: B\n",
	"list.yaml":                  "- stream: A\n",
	"unknown.yaml":               "\nclient_secret: must-not-leak\n",
	"value.yaml":                 "\n\nlease_ttl: 15\n",
	"empty":                      "\n",
	"nats/context/dev.json":      `{"url": "nats://127.0.0.1:1"}`,
	"nats/context/broken.json":   `{"url": `,
	"nats/context/homeless.json": `{"url": "nats://127.0.0.1:1", "creds": "/no/such/file.creds"}`,
}

// mistakeAnswers are the answers of a token endpoint, or of something else in its place.
var mistakeAnswers = map[string]struct {
	status     int
	kind, body string
}{
	"/none":     {404, "text/html", "<html><h1>404 Not Found</h1></html>"},
	"/code":     {401, "application/json", `{"code":124,"message":"Invalid access token."}`},
	"/limit":    {429, "application/json", `{"code":429,"message":"rate limit reached"}`},
	"/portal":   {200, "text/html", "<html><body>Sign in to the guest network</body></html>"},
	"/moved":    {302, "text/html", ""},
	"/method":   {405, "text/plain", "use POST, must-not-leak"},
	"/down":     {503, "text/html", "<title>Service Unavailable</title>"},
	"/odd":      {200, "application/json", `{"token":"must-not-leak"}`},
	"/client":   {400, "application/json", `{"reason":"Invalid client_id or client_secret","error":"invalid_client"}`},
	"/account":  {400, "application/json", `{"reason":"Bad Request","error":"invalid_request"}`},
	"/grant":    {400, "application/json", `{"reason":"unsupported grant type","error":"unsupported_grant_type"}`},
	"/unknown":  {400, "application/json", `{"reason":"Maintenance","error":"temporarily_odd"}`},
	"/token":    {200, "application/json", `{"access_token":"must-not-leak","token_type":"bearer","expires_in":3600}`},
	"/loginbox": {407, "text/html", ""},
}

var mistakes = []mistake{
	// Mistakes on the command line.
	{args: "runn", code: exitUsage, want: []string{`did you mean "run"`}},
	{args: "run --lease-tll=3s", code: exitUsage, want: []string{"--lease-tll", `did you mean "--lease-ttl"`}},
	{args: "run --zoom-client-secret must-not-leak must-not-leak", code: exitUsage, want: []string{"unexpected argument ***"}},
	{args: "config check --stream=A --stream=B", code: exitUsage, want: []string{"--stream is given twice"}},
	{args: "forward", code: exitUsage, want: []string{"--to=URL is missing"}},
	{args: "forward --to=http://example.com/hook", code: exitUsage, want: []string{"--to", "this machine only", "--insecure-http"}},
	{args: "sim --listen=127.0.0.1:99999", code: exitFailure, want: []string{"--listen=127.0.0.1:99999", "invalid port"}},
	{args: "sim --fault=foo", code: exitUsage, want: []string{"--fault", `"foo"`}},
	{args: "demo --rate=0", code: exitUsage, want: []string{"--rate=0 is not above 0"}},
	{args: "status --interval=0s", code: exitUsage, want: []string{"--interval=0s is not above 0"}},
	{args: "tail --kind=events", code: exitUsage, want: []string{"--kind=events is none of event, gap, alarm, malformed"}},

	// Mistakes in the names of settings.
	{environ: "ZOOM_CLIENT_ID= & ZOOM_CLIENT_SECRET=", args: "run", code: exitConfig, want: []string{"not set: ZOOM_CLIENT_ID, ZOOM_CLIENT_SECRET", "App Credentials", "zoomstream demo"}, not: []string{"ZOOM_WEBSOCKET_URL"}},
	{environ: "ZOOMSTREAM_STREM=must-not-leak", args: "config check", code: exitConfig, want: []string{"ZOOMSTREAM_STREM (environment)", "did you mean ZOOMSTREAM_STREAM?"}},
	{environ: "ZOOM_CLIENTID=must-not-leak", args: "config check", code: exitConfig, want: []string{"ZOOM_CLIENTID", "did you mean ZOOM_CLIENT_ID?"}},
	{environ: "ZOOM_API_KEY=must-not-leak & NATS_URL=nats://127.0.0.1:1", args: "status", code: exitFailure, want: []string{"warning: ZOOM_API_KEY", "continues", "connection refused"}},
	{environ: "ZOOM_API_KEY=must-not-leak & NATS_URL=nats://127.0.0.1:1", args: "tail", code: exitFailure, want: []string{"warning: ZOOM_API_KEY", "connection refused"}},
	{environ: "ZOOM_API_KEY=must-not-leak", args: "config show", code: exitOK, want: []string{"warning: ZOOM_API_KEY", "*** stands for a value that is set and may be secret"}},
	{environ: "NATS_ULR=nats://must-not-leak", args: "config check", code: exitConfig, want: []string{"NATS_ULR (environment)", "did you mean NATS_URL?"}},
	{environ: "NATS_ULR=nats://must-not-leak", args: "tail", code: exitConfig, want: []string{"did you mean NATS_URL?"}},
	{environ: "NATS_CERDS=x", args: "config check", code: exitConfig, want: []string{"did you mean NATS_CREDS?"}},
	{environ: "NATS_TIMEOUT=5s & NATS_URI=x & NATS_URL=nats://a", args: "config check", code: exitOK, want: []string{"The settings can work"}},

	// Mistakes in values.
	{environ: "ZOOMSTREAM_LEASE_TTL=15", args: "config check", code: exitConfig, want: []string{`ZOOMSTREAM_LEASE_TTL (environment) is "15"`, "for example 15s"}},
	{args: "config check --spool-max=1G", code: exitConfig, want: []string{`ZOOMSTREAM_SPOOL_MAX (flag --spool-max) is "1G"`, "1GiB"}},
	{environ: "ZOOMSTREAM_HTTP_ADDR=8480", args: "config check", code: exitConfig, want: []string{`is "8480"`, "127.0.0.1:8480"}},
	{environ: "ZOOMSTREAM_HTTP_ADDR=0.0.0.0:8480", args: "config check", code: exitOK, want: []string{"Warning: ZOOMSTREAM_HTTP_ADDR is 0.0.0.0:8480", "other machines", "no login"}},
	{environ: "ZOOMSTREAM_HTTP_ADDR=[::1]:8480", args: "config check", code: exitOK, not: []string{"Warning"}},
	{environ: "ZOOM_CLIENT_SECRET='must-not-leak'", args: "config check", code: exitConfig, want: []string{`ZOOM_CLIENT_SECRET (environment) is "***" (hidden, as it may be secret)`, "without quotes"}},
	{environ: `ZOOM_WEBSOCKET_URL="wss://ws.zoom.us/ws?subscriptionId=sub-1"`, args: "config check", code: exitConfig, want: []string{`is "\"wss://ws.zoom.us/ws?subscriptionId=sub-1\""`, "it is in quotes", "--env-file"}, not: []string{"***"}},
	{environ: "ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws?subscriptionid=sub-1", args: "config check", code: exitConfig, want: []string{"subscriptionid must be written subscriptionId"}},
	{environ: "ZOOM_WEBSOCKET_URL=https://ws.zoom.us/ws?subscriptionId=sub-1", args: "config check", code: exitConfig, want: []string{"must begin with wss://, not with https://"}},
	{environ: "ZOOM_OAUTH_URL='https://zoom.us/oauth/token'", args: "config check", code: exitConfig, want: []string{`ZOOM_OAUTH_URL (environment) is "'https://zoom.us/oauth/token'"`, "it is in quotes"}, not: []string{"***"}},
	{environ: "ZOOM_OAUTH_URL=zoom.us/oauth/token", args: "config check", code: exitConfig, want: []string{`is "zoom.us/oauth/token"`, "must begin with https://"}},
	{environ: "NATS_URL='nats://prod:4222'", args: "config check", code: exitConfig, want: []string{`is "'nats://prod:4222'"`, "it is in quotes"}},
	{environ: "NATS_URL=nats://user:must#not-leak@prod", args: "config check", code: exitConfig, want: []string{`NATS_URL (environment) is "***" (hidden`, "percent-encoded"}, not: []string{"not-leak"}},
	{environ: "NATS_TOKEN=must-not-leak", args: "config check", code: exitConfig, want: []string{"NATS_TOKEN", "embedded NATS server does not use it"}},
	{environ: "NATS_URL=nats://a & NATS_USER=u & NATS_PASSWORD=must-not-leak & NATS_TOKEN=must-not-leak", args: "config check", code: exitConfig, want: []string{"NATS_TOKEN", "together with NATS_USER", "choose one"}},
	{environ: "ZOOMSTREAM_FORWARD_SECRET=", args: "forward --to=http://127.0.0.1:1/", code: exitConfig, want: []string{"ZOOMSTREAM_FORWARD_SECRET", "not set"}},

	// Mistakes with files.
	{environ: "ZOOM_CLIENT_SECRET= & ZOOM_CLIENT_SECRET_FILE=/run/secrets/no-such", args: "config check", code: exitConfig, want: []string{"ZOOM_CLIENT_SECRET_FILE", `"/run/secrets/no-such" cannot be read: no such file`}},
	{environ: "ZOOM_CLIENT_SECRET= & ZOOM_CLIENT_SECRET_FILE=must-not-leak", args: "config check", code: exitConfig, want: []string{"ZOOM_CLIENT_SECRET_FILE", "not what is in it"}},
	{environ: "ZOOM_CLIENT_SECRET= & ZOOM_CLIENT_SECRET_FILE=$DIR/empty", args: "config check", code: exitConfig, want: []string{`$DIR/empty" is empty`}},
	{environ: "ZOOM_CLIENT_SECRET= & ZOOM_CLIENT_SECRET_FILE=$DIR", args: "config check", code: exitConfig, want: []string{`"$DIR" cannot be read: is a directory`}},
	{environ: "ZOOM_CLIENT_SECRET_FILE=$DIR/empty", args: "config check", code: exitConfig, want: []string{"set together with ZOOM_CLIENT_SECRET_FILE"}},
	{environ: "NATS_URL=nats://a & NATS_CREDS=/no/such.creds", args: "config check", code: exitConfig, want: []string{"NATS_CREDS", `"/no/such.creds" cannot be read: no such file`}},
	{environ: "NATS_URL=nats://a & NATS_CREDS=$DIR/tab.yaml", args: "config check", code: exitConfig, want: []string{"NATS_CREDS", "$DIR/tab.yaml", "no nkey seed found"}},
	{environ: "NATS_URL=nats://a & NATS_CA=$DIR/tab.yaml", args: "config check", code: exitConfig, want: []string{"NATS_CA", "$DIR/tab.yaml"}},
	{args: "config check --config=none.yaml", code: exitConfig, want: []string{`--config is "none.yaml"`, "no such file", "looked for in /"}},
	{args: "config check --config=$DIR/tab.yaml", code: exitConfig, want: []string{"$DIR/tab.yaml", "near line 2", "a tab character", "indent with spaces"}},
	{args: "config check --config=$DIR/twice.yaml", code: exitConfig, want: []string{"line 3 repeats the key stream of line 1"}},
	{args: "config check --config=$DIR/nospace.yaml", code: exitConfig, want: []string{"line 1", "a space after the colon"}},
	{args: "config check --config=$DIR/nested.yaml", code: exitConfig, want: []string{"zoom (file $DIR/nested.yaml:", "do not nest"}},
	{args: "config check --config=$DIR/at.yaml", code: exitConfig, want: []string{"cannot start any token", "in quotes"}},
	{args: "config check --config=$DIR/colon.yaml", code: exitConfig, want: []string{"mapping values are not allowed", "in quotes"}},
	{args: "config check --config=$DIR/alias.yaml", code: exitConfig, want: []string{"begins with * in quotes"}},
	{args: "config check --config=$DIR/open.yaml", code: exitConfig, want: []string{"unexpected end of stream", "close the quotes"}},
	{args: "config check --config=$DIR/two.yaml", code: exitConfig, want: []string{"more than one YAML document"}},
	{args: "config check --config=$DIR/list.yaml", code: exitConfig, want: []string{"line 1", "one setting per line"}},
	{args: "config check --config=$DIR/unknown.yaml", code: exitConfig, want: []string{"client_secret (file $DIR/unknown.yaml:2)", "did you mean zoom_client_secret?"}},
	{args: "config check --config=$DIR/value.yaml", code: exitConfig, want: []string{`ZOOMSTREAM_LEASE_TTL (file $DIR/value.yaml:3) is "15"`}},

	// Mistakes about the token endpoint, or something else that answers in its place.
	{environ: "ZOOM_OAUTH_URL=$WEB/none", args: "doctor", code: exitFailure, want: []string{"$WEB/none (ZOOM_OAUTH_URL) answered HTTP 404", `"404 Not Found"`, "https://zoom.us/oauth/token"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/code", args: "doctor", code: exitFailure, want: []string{`HTTP 401, code 124: "Invalid access token."`, "fix: check ZOOM_OAUTH_URL"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/limit", args: "doctor", code: exitFailure, want: []string{`HTTP 429, code 429: "rate limit reached"`, "zoomstream waits"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/portal", args: "doctor", code: exitFailure, want: []string{`an HTML page: "Sign in to the guest network"`, "captive portal"}, not: []string{"<html>", "invalid character"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/moved", args: "doctor", code: exitFailure, want: []string{"HTTP 302 with a redirect to https://portal.example/login", "captive portal"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/method", args: "doctor", code: exitFailure, want: []string{`HTTP 405 with "use POST, ***"`, "check ZOOM_OAUTH_URL"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/down", args: "doctor", code: exitFailure, want: []string{"HTTP 503", "Service Unavailable", "status.zoom.us"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/odd", args: "doctor", code: exitFailure, want: []string{"JSON without an access_token"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/unknown", args: "doctor", code: exitFailure, want: []string{`temporarily_odd: "Maintenance"`, "$WEB/unknown"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/loginbox", args: "doctor", code: exitFailure, want: []string{"HTTP 407", "set HTTPS_PROXY"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/client", args: "doctor", code: exitConfig, want: []string{"Invalid client_id or client_secret", "ZOOM_OAUTH_URL $WEB/client", "ZOOM_CLIENT_SECRET"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/account & ZOOM_ACCOUNT_ID=must-not-leak", args: "doctor", code: exitConfig, want: []string{"invalid_request", "check ZOOM_ACCOUNT_ID"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/grant", args: "doctor", code: exitConfig, want: []string{"unsupported_grant_type", "set ZOOM_ACCOUNT_ID"}},
	{environ: "ZOOM_OAUTH_URL=http://$NOBODY/oauth/token", args: "doctor", code: exitFailure, want: []string{"http://$NOBODY/oauth/token (ZOOM_OAUTH_URL) cannot be reached", "connection refused"}},
	{environ: "ZOOM_OAUTH_URL=https://$NOHOST/oauth/token", args: "doctor", code: exitFailure, want: []string{"does not speak TLS", "ZOOM_OAUTH_URL"}},
	{environ: "ZOOM_OAUTH_URL=$HTTPS/oauth/token", args: "doctor", code: exitFailure, want: []string{"certificate", "SSL_CERT_FILE"}},
	{environ: "ZOOM_OAUTH_URL=https://zoom.invalid/oauth/token & HTTPS_PROXY=http://user:must-not-leak@$PROXY", args: "doctor", code: exitFailure, process: true,
		want: []string{"the proxy http://$PROXY (HTTPS_PROXY) refuses the connection to zoom.invalid:443: HTTP 407 Proxy Authentication Required", "HTTPS_PROXY=http://user:password@host:port"}},
	{environ: "ZOOM_OAUTH_URL=https://zoom.invalid/oauth/token & HTTPS_PROXY=http://user:must-not-leak@$NOBODY", args: "doctor", code: exitFailure, process: true,
		want: []string{"the proxy of HTTPS_PROXY cannot be reached", "connection refused"}},

	// Mistakes about the endpoint of the subscription.
	{environ: "ZOOM_OAUTH_URL=$WEB/token & ZOOM_WEBSOCKET_URL=ws://$NOBODY/ws?subscriptionId=sub-1", args: "doctor --connect", code: exitFailure, want: []string{"ws://$NOBODY/ws (ZOOM_WEBSOCKET_URL) cannot be reached", "connection refused", "HTTPS_PROXY"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/token & ZOOM_WEBSOCKET_URL=ws://$NOHOST/none?subscriptionId=sub-1", args: "doctor --connect", code: exitFailure, want: []string{"HTTP 404", "check the subscriptionId in ZOOM_WEBSOCKET_URL"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/token & ZOOM_WEBSOCKET_URL=ws://$NOHOST/portal?subscriptionId=sub-1", args: "doctor --connect", code: exitFailure, want: []string{"HTTP 200", "ws://$NOHOST/portal (ZOOM_WEBSOCKET_URL)", "captive portal"}},
	{environ: "ZOOM_OAUTH_URL=$WEB/token & ZOOM_WEBSOCKET_URL=wss://zoom.invalid/ws?subscriptionId=sub-1 & HTTPS_PROXY=http://$PROXY", args: "doctor --connect", code: exitFailure, process: true, want: []string{"wss://zoom.invalid/ws (ZOOM_WEBSOCKET_URL)", "the proxy http://$PROXY (HTTPS_PROXY) refuses the connection to zoom.invalid:443: HTTP 407"}},

	// Mistakes about NATS.
	{environ: "NATS_URL=nats://user:must-not-leak@$NOBODY", args: "status", code: exitFailure, want: []string{"NATS at nats://$NOBODY", "connection refused", "NATS_URL is right"}},
	{args: "status", code: exitFailure, want: []string{"does zoomstream run on this machine", "NATS_URL"}},
	{environ: "NATS_URL=nats://$LOCKED", args: "tail", code: exitFailure, want: []string{"NATS_CREDS", "NATS_USER and NATS_PASSWORD"}},
	{environ: "NATS_URL=nats://user:must-not-leak@$LOCKED", args: "doctor", code: exitConfig, want: []string{"FAIL  nats.server", "refuses the credentials"}},
	{environ: "NATS_URL=tls://$NATS", args: "status", code: exitFailure, want: []string{"the server offers no TLS"}},
	{environ: "NATS_URL=nats://$NOHOST", args: "status", code: exitFailure, want: []string{"port of a nats-server for clients"}},
	{environ: "NATS_URL=nats://$NATS", args: "tail", code: exitFailure, want: []string{"ZOOM"}},
	{environ: "NATS_CONTEXT=prod & XDG_CONFIG_HOME=$DIR", args: "status", code: exitConfig, process: true, want: []string{`NATS_CONTEXT: context "prod"`, "$DIR/nats/context/prod.json", "there are broken, dev, homeless"}},
	{environ: "NATS_CONTEXT=prod & XDG_CONFIG_HOME=$DIR/none", args: "config check", code: exitConfig, process: true, want: []string{"$DIR/none/nats/context/prod.json", "there are no contexts"}},
	{environ: "NATS_CONTEXT=$DIR/nats/context/broken.json", args: "config check", code: exitConfig, want: []string{"$DIR/nats/context/broken.json", "not a context in JSON"}},
	{environ: "NATS_CONTEXT=$DIR/nats/context/homeless.json", args: "config check", code: exitConfig, want: []string{`"creds"`, "/no/such/file.creds"}},
	{environ: "ZOOMSTREAM_HTTP_ADDR=0.0.0.0:0 & ZOOMSTREAM_NATS_ADDR=127.0.0.1:0 & ZOOMSTREAM_DATA_DIR=$DIR/run & ZOOM_OAUTH_URL=$WEB/client", args: "run", code: exitConfig, process: true, want: []string{"http.exposed", "other machines may reach the status page", "refused the credentials", "$WEB/client"}},
}

// TestMistakes makes each mistake as a user would.
func TestMistakes(t *testing.T) {
	t.Parallel()
	names := mistakeWorld(t)
	var made sync.WaitGroup
	defer made.Wait()
	for _, m := range mistakes {
		made.Go(func() {
			environ := map[string]string{
				"ZOOM_CLIENT_ID": "client-must-not-leak", "ZOOM_CLIENT_SECRET": "must-not-leak", "ZOOM_WEBSOCKET_URL": "wss://ws.zoom.us/ws?subscriptionId=sub-1",
				"ZOOMSTREAM_DATA_DIR": names["$DIR"] + "/data", "ZOOMSTREAM_NATS_ADDR": names["$NOBODY"],
			}
			for setting := range strings.SplitSeq(m.environ, " & ") {
				name, value, _ := strings.Cut(setting, "=")
				environ[name] = replaceNames(value, names)
			}
			var list []string
			for _, name := range slices.Sorted(maps.Keys(environ)) {
				if environ[name] != "" {
					list = append(list, name+"="+environ[name])
				}
			}
			code, text := makeMistake(t, list, strings.Fields(replaceNames(m.args, names)), m.process)
			what := m.environ + " zoomstream " + m.args
			if code != m.code {
				t.Errorf("%s: exit code %d, want %d:\n%s", what, code, m.code, text)
			}
			for _, want := range m.want {
				if want = replaceNames(want, names); !strings.Contains(text, want) && !strings.Contains(text, strings.ReplaceAll(want, `"`, `\"`)) {
					t.Errorf("%s: %q is missing from\n%s", what, want, text)
				}
			}
			for _, not := range append(m.not, "must-not-leak") {
				if strings.Contains(text, not) {
					t.Errorf("%s: %q is in\n%s", what, not, text)
				}
			}
		})
	}
}

// makeMistake runs zoomstream, in this process or in one of its own.
func makeMistake(t *testing.T, environ, args []string, own bool) (code int, text string) {
	if own {
		p := start(t, environ, args...)
		<-p.exited
		return p.cmd.ProcessState.ExitCode(), p.stdout.String() + p.stderr.String()
	}
	var out syncbuf.Buffer
	p := &process{ctx: t.Context(), stdout: &out, stderr: &out, environ: environ, ports: ports{}, log: zerolog.Nop()}
	code = run(p, args)
	return code, out.String()
}

func replaceNames(text string, names map[string]string) string {
	for name, value := range names {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

// mistakeWorld makes the files and starts the servers. It returns what the placeholders stand for.
func mistakeWorld(t *testing.T) map[string]string {
	dir := t.TempDir()
	web := httptest.NewServer(http.HandlerFunc(answerMistake))
	secure := httptest.NewUnstartedServer(http.HandlerFunc(answerMistake))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(func() { web.Close(); secure.Close() })
	open := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir()})
	locked := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, Users: []*server.User{{Username: "u", Password: "p"}}, StoreDir: t.TempDir()})
	address := strings.TrimPrefix(web.URL, "http://")
	names := map[string]string{
		"$DIR": dir, "$WEB": web.URL, "$NOHOST": address, "$PROXY": address, "$HTTPS": secure.URL, "$NOBODY": fmt.Sprintf("127.0.0.1:%d", natstest.Port(t)),
		"$NATS": open.Addr().String(), "$LOCKED": locked.Addr().String(),
	}
	for name, text := range mistakeFiles {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// answerMistake answers as a token endpoint, or as a proxy that wants a login.
func answerMistake(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	answer := mistakeAnswers[r.URL.Path]
	if answer.status == http.StatusFound {
		w.Header().Set("Location", "https://portal.example/login?token=must-not-leak")
	}
	w.Header().Set("Content-Type", answer.kind)
	w.WriteHeader(max(answer.status, http.StatusOK))
	w.Write([]byte(answer.body)) //nolint:errcheck // the client says what it got
}
