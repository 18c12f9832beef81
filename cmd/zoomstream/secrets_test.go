//go:build !race

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// The secrets of TestNoSecretGetsOut. Each contains characters that encodings change.
const (
	leakClientID     = `cl1ent+id/%25&x=<y>\zQ7`
	leakClientSecret = `cl1ent+secret/%41&x=<y>\zR8`
	leakNextSecret   = `cl1ent+next/%42&x=<y>\zS9`
	leakAccount      = `acc0unt+id/%43&x=<y>\zT0`
	leakSecretToken  = `s3cret+token/%44&x=<y>\zU1`
	leakPassword     = `n4ts"pass'word/+%45&x=<y>\zV2`
	leakToken        = "t0ken\"of'Zoom/+%46&x=<y>\\\r\nzW3-" // and a number
	leakVerification = `v3rification"T0ken\zX4`
	leakWebhook      = `w3bhook+t0ken/%47&x=<y>\zY5`
)

// leaks returns the forms in which the test looks for the secrets. Their beginnings and ends are
// among them, to find what is left of a secret in a text that was cut.
func leaks() map[string]string {
	forms := make(map[string]string)
	for _, secret := range []string{leakClientID, leakClientSecret, leakNextSecret, leakAccount, leakSecretToken, leakPassword, leakToken, leakVerification, leakWebhook} {
		inJSON, _ := json.Marshal(secret)
		twice, _ := json.Marshal(string(inJSON))
		for name, form := range map[string]string{
			"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "JSON": strings.Trim(string(inJSON), `"`),
			"JSON in JSON": strings.Trim(string(twice), `\"`), "%q": strings.Trim(strconv.Quote(secret), `"`), "%q of %q": strings.Trim(strconv.Quote(strconv.Quote(secret)), `\"`),
			"hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))), "a part": secret[:10], "the end": secret[len(secret)-5:],
		} {
			forms[form] = fmt.Sprintf("%.12q (%s)", secret, name)
		}
		for _, text := range []string{secret, url.QueryEscape(secret)} {
			for before := range 3 {
				code := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
				forms[code[4:len(code)-2]] = fmt.Sprintf("%.12q (base64)", secret)
			}
		}
	}
	return forms
}

// talkative is a Zoom that repeats, in all its refusals, what it was told.
type talkative struct {
	t        *testing.T
	url      string
	tokens   atomic.Int32
	connects atomic.Int32
	settled  chan struct{} // closed when a connection stays
	more     chan string   // events for the connection to send
}

func newTalkative(t *testing.T) *talkative {
	z := &talkative{t: t, settled: make(chan struct{}), more: make(chan string)}
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/token", z.token)
	mux.HandleFunc("/ws", z.connect)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	z.url = web.URL
	return z
}

// newTalkativeHook returns the URL of a webhook that repeats its URL in all its refusals, before it
// accepts alarms. The channel has what it accepted.
func newTalkativeHook(t *testing.T) (to string, took <-chan string) {
	var posts atomic.Int32
	all := make(chan string, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch posts.Add(1) {
		case 1:
			http.Error(w, "no "+r.URL.String()+" "+leakWebhook, http.StatusNotFound)
		case 2:
			w.Header().Set("Location", "http://["+r.URL.String())
			w.WriteHeader(http.StatusFound)
		default:
			all <- string(body)
		}
	}))
	t.Cleanup(web.Close)
	return web.URL + "/services/" + url.PathEscape(leakWebhook) + "?key=" + url.QueryEscape(leakWebhook), all
}

func (z *talkative) token(w http.ResponseWriter, r *http.Request) {
	n := z.tokens.Add(1)
	if n == 1 {
		account, basic := r.FormValue("account_id"), r.Header.Get("Authorization")
		id, secret, _ := r.BasicAuth()
		text, _ := json.Marshal(map[string]string{"error": "server_error", "reason": fmt.Sprintf("%s %s %q %q %s %x", basic, id, secret, account, leakClientSecret, leakClientSecret)})
		w.WriteHeader(http.StatusInternalServerError)
		w.Write(text) //nolint:errcheck // the client may have gone
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"access_token": leakToken + strconv.Itoa(int(n)), "token_type": "bearer", "expires_in": 3600}) //nolint:errcheck
}

func (z *talkative) connect(w http.ResponseWriter, r *http.Request) {
	token, n := r.URL.Query().Get("access_token"), z.connects.Add(1)
	if n == 1 {
		http.Error(w, "no "+r.URL.String()+" "+token, http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // it ends
	say := func(format string, args ...any) {
		conn.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)) //nolint:errcheck // the client may have gone
	}
	quoted, _ := json.Marshal(token)
	header := fmt.Sprintf(`{"Authorization":%s,"clientId":%q,"x-zm-trackingid":"tracking-%d","x-zm-request-timestamp":"1790985356"}`, mustJSON(leakVerification), leakClientID, n)
	event := func(name string) {
		say(`{"module":"message","content":%s,"header":%s}`, mustJSON(fmt.Sprintf(`{"event":%q,"event_ts":1790985356750,"payload":{"object":{"id":"1"}}}`, name)), header)
	}
	switch n {
	case 2:
		say(`{"module":"build_connection","success":false,"content":%s}`, mustJSON(fmt.Sprintf("Invalid Token %q %s", token, url.QueryEscape(token))))
		conn.Read(r.Context()) //nolint:errcheck // until it closes
		return
	case 3:
		conn.Close(websocket.StatusPolicyViolation, "bad "+token) //nolint:errcheck
		return
	}
	say(`{"module":"build_connection","success":true,"content":"connection built","header":{}}`)
	go func() { // until the connection ends
		for {
			if _, _, err := conn.Read(r.Context()); err != nil {
				return
			}
			say(`{"module":"heartbeat","success":true,"content":%s,"header":{}}`, quoted)
		}
	}()
	event("meeting.started")
	for _, frame := range []string{
		`{"module":` + string(quoted) + `,"success":true}`,
		`not JSON: ` + token, `not JSON: ` + url.QueryEscape(token) + " " + strconv.Quote(token) + " " + fmt.Sprintf("%x", token),
		`{"module":"message","content":"{}","header":` + header + `}`, `{"module":"message","content":7,"header":{"Authoriz\u0061tion":` + mustJSON(leakVerification) + `,"client\u0049d":"` + leakClientID + `"}}`,
		mustJSON(`{"header":` + header + `}`), `{"header":{"authorization":"Basic ` + base64.StdEncoding.EncodeToString([]byte(leakClientID+":"+leakClientSecret)) + `"}`,
		`{"event":"` + strings.Repeat("x", 100) + leakClientSecret + leakSecretToken, `{"access_token":` + string(quoted),
	} {
		say("%s", frame)
	}
	if n == 4 {
		conn.Close(websocket.StatusGoingAway, "away: "+token) //nolint:errcheck
		return
	}
	close(z.settled)
	for {
		select {
		case name := <-z.more:
			event(name)
		case <-r.Context().Done():
			return
		}
	}
}

func mustJSON(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// TestNoSecretGetsOut drives the whole program through refusals, broken frames, an outage and every
// request that it answers. It looks for the secrets in everything that the program writes, answers
// and stores.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	forms, looked := leaks(), make(map[string]int)
	search := func(where, text string) {
		looked[where] += len(text)
		for form, secret := range forms {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: %s is in …%.300q", where, secret, text[max(0, i-120):])
				return
			}
		}
	}
	options := &server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{{Username: "zoomstream", Password: leakPassword}, {Username: "reader", Password: "r"}},
	}
	srv := natstest.Start(t, options)
	var mu sync.Mutex
	var messages strings.Builder
	reader, err := nats.Connect(srv.ClientURL(), nats.UserInfo("reader", "r"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	if _, err := reader.Subscribe(">", func(m *nats.Msg) { // including its buckets, answers and signs of life
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&messages, "%s %v %s\n", m.Subject, m.Header, m.Data)
	}); err != nil || reader.Flush() != nil {
		t.Fatal(err)
	}

	zoom := newTalkative(t)
	secrets := t.TempDir()
	secretFile := filepath.Join(secrets, "client-secret")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secretFile, leakClientSecret)
	webhook, told := newTalkativeHook(t)
	settings := []string{
		"ZOOM_CLIENT_ID=" + leakClientID, "ZOOM_CLIENT_SECRET_FILE=" + secretFile, "ZOOM_ACCOUNT_ID=" + leakAccount, "ZOOM_SECRET_TOKEN=" + leakSecretToken,
		"ZOOM_OAUTH_URL=" + zoom.url + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws" + strings.TrimPrefix(zoom.url, "http") + "/ws?subscriptionId=" + testSubscription + "&access_token=" + url.QueryEscape(leakToken),
		"NATS_URL=" + srv.ClientURL(), "NATS_USER=zoomstream", "NATS_PASSWORD=" + leakPassword,
		"ZOOMSTREAM_ALARM_WEBHOOK_URL=" + webhook,
		"ZOOMSTREAM_LOG_LEVEL=trace", "ZOOMSTREAM_LOG_FORMAT=json", "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0", "ZOOMSTREAM_HEARTBEAT=1s",
	}
	p := start(t, settings, "run")
	select {
	case <-zoom.settled:
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not connect:\n%s", &p.stderr)
	}
	p.says(&p.stderr, `"code":"zoom.unknown_module"`)

	for _, args := range [][]string{
		{"doctor"}, {"doctor", "--json"}, {"config", "show"}, {"status"}, {"status", "--json"}, {"gaps"}, {"gaps", "--json"}, {"find", "tracking-4", "--body"}, {"tail", "--headers", "--body"}, {"tail", "--json"}, {"find", leakToken}, {"run", "--nats-password", leakPassword, leakToken, "--nats-token=" + leakSecretToken},
	} {
		c := start(t, settings, args...)
		<-c.exited
		for form, secret := range forms {
			if text := c.stdout.String() + c.stderr.String(); args[0]+args[1%len(args)] != "find"+leakToken && strings.Contains(text, form) { // which is shown as asked for
				t.Errorf("%.40q says %s: %.500s", args, secret, text)
			}
		}
		looked["commands"] += len(c.stdout.String()) + len(c.stderr.String())
	}
	wrong := start(t, append(settings, "ZOOMSTREAM_LEASE_TTL=x", "NATS_TOKEN="+leakPassword, "ZOOM_"+leakSecretToken[:6]+"=x", "NATS_NKEY="+leakPassword, "ZOOMSTREAM_ALARM_WEBHOOK_URL=http://hooks.example/"+leakWebhook), "run")
	wrong.exit(exitConfig)
	for _, secret := range []string{leakPassword, leakClientSecret, leakSecretToken, leakWebhook[:10]} {
		if strings.Contains(wrong.stderr.String(), secret) {
			t.Errorf("a wrong configuration shows %q: %s", secret, &wrong.stderr)
		}
	}

	write(secretFile, leakNextSecret+" \n")
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.reloaded"`)
	write(secretFile, leakNextSecret+" "+leakClientSecret)
	p.signal(syscall.SIGHUP)
	p.says(&p.stderr, `"code":"config.refused"`)

	for _, path := range []string{
		"", "status", "status?history", "metrics", "healthz", "readyz", "debug/pprof/", "debug/pprof/cmdline", "debug/pprof/goroutine?debug=2", "debug/pprof/goroutine?debug=1", "debug/pprof/heap?debug=1", "debug/pprof/symbol?0x1",
	} {
		answer, err := http.Get(p.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		text := new(strings.Builder)
		_, err = bufio.NewReader(answer.Body).WriteTo(text)
		answer.Body.Close() //nolint:errcheck // it was read
		if err != nil {
			t.Fatal(err)
		}
		search("HTTP", path+text.String())
	}
	search("HTTP", feed(t, p.url()+"events"))

	options.Port = srv.Addr().(*net.TCPAddr).Port
	srv.Shutdown() // what comes from now on goes to the disk
	srv.WaitForShutdown()
	for n := range 20 {
		zoom.more <- fmt.Sprint("meeting.spooled_", n)
	}
	spooled := ""
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(spooled, "meeting.spooled_19"); time.Sleep(10 * time.Millisecond) {
		if spooled = files(t, p.cmd.Dir); time.Now().After(deadline) {
			t.Fatalf("nothing is on disk:\n%s", &p.stderr)
		}
	}
	search("spool", spooled)
	select {
	case body := <-told:
		search("webhook", body)
	case <-time.After(30 * time.Second):
		t.Fatalf("the webhook is not told that the events are late:\n%s", &p.stderr)
	}
	natstest.Start(t, options)
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.stderr.String(), `"code":"publish.resumed"`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not go on:\n%s", &p.stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	search("log", p.stderr.String()+p.stdout.String())
	search("NATS' disk", files(t, options.StoreDir))
	search("disk", files(t, p.cmd.Dir))
	mu.Lock()
	defer mu.Unlock()
	search("NATS", messages.String())
	for _, what := range []string{"zoom._bridge.malformed", "zoom.meeting.started", "$KV.zoomstream.lease", "$KV.zoomstream-state.state", "zoomstream.zoomstream.presence", "zoomstream.zoomstream.status"} {
		if !strings.Contains(messages.String(), what) {
			t.Errorf("nothing was seen of %s", what)
		}
	}
	for _, where := range []string{"HTTP", "commands", "spool", "log", "NATS", "NATS' disk"} {
		if looked[where] < 1000 {
			t.Errorf("%s: only %d bytes were looked at", where, looked[where])
		}
	}
}

// files returns the names and contents of all files in a folder.
func files(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // it was there a moment ago
		}
		text, _ := os.ReadFile(path) // likewise
		fmt.Fprintf(&all, "%s: %s\n", path, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// feed returns the beginning of what a page receives for as long as it is open.
func feed(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it goes on
	var all strings.Builder
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 16<<20)
	for all.Len() < 2000 && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
	}
	return all.String()
}
