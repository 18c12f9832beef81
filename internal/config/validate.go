package config

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func (l *loader) zoom(c *Config) {
	c.Zoom = Zoom{
		ClientID:     l.credential("ZOOM_CLIENT_ID"),
		ClientSecret: l.credential("ZOOM_CLIENT_SECRET"),
		AccountID:    l.credential("ZOOM_ACCOUNT_ID"),
		Endpoints:    l.endpoints("ZOOM_WEBSOCKET_URL"),
		OAuthURL:     l.text("ZOOM_OAUTH_URL"),
		SecretToken:  l.credential("ZOOM_SECRET_TOKEN"),
	}
	if _, err := parseURL(c.Zoom.OAuthURL, "https", "http"); err != nil {
		l.fail("ZOOM_OAUTH_URL", err.Error(), "use https://zoom.us/oauth/token")
	}
}

// credential reads an id or secret of Zoom's. They are plain letters and
// digits, so a quote is one that docker's --env-file has kept.
func (l *loader) credential(setting string) string {
	value := l.text(setting)
	for _, r := range value {
		if r <= ' ' || r > '~' || r == '"' || r == '\'' {
			l.fail(setting, "it holds a quote, white space or another character that Zoom's values never have",
				"copy it again from Zoom's page, without quotes")
			break
		}
	}
	return value
}

func (l *loader) endpoints(setting string) []Endpoint {
	const fix = "copy it from Zoom's page; it looks like wss://ws.zoom.us/ws?subscriptionId=…"
	var all []Endpoint
	var urls []string
	seen := map[string]bool{}
	list := splitList(l.text(setting))
	for i, raw := range list {
		problem := func(text string) string {
			if len(list) == 1 {
				return text
			}
			return fmt.Sprintf("URL %d of %d: %s", i+1, len(list), text)
		}
		e, err := parseEndpoint(raw)
		if err != nil {
			l.fail(setting, problem(err.Error()), fix)
			continue
		}
		if seen[e.Subscription] {
			l.fail(setting, problem("the subscription "+e.Subscription+" is there twice"),
				"Zoom allows one connection per subscription; keep one")
			continue
		}
		seen[e.Subscription] = true
		all, urls = append(all, e), append(urls, e.URL)
	}
	if len(list) == 0 && l.text(setting) != "" {
		l.fail(setting, "it names no URL", fix)
	}
	l.settle(setting, strings.Join(urls, ","))
	return all
}

func (l *loader) nats(c *Config) {
	c.NATS = NATS{
		URL:      l.servers("NATS_URL"),
		Context:  l.text("NATS_CONTEXT"),
		Creds:    l.readable("NATS_CREDS"),
		NKey:     l.readable("NATS_NKEY"),
		User:     l.text("NATS_USER"),
		Password: l.password("NATS_PASSWORD"),
		Token:    l.password("NATS_TOKEN"),
		CA:       l.readable("NATS_CA"),
		Cert:     l.readable("NATS_CERT"),
		Key:      l.readable("NATS_KEY"),
	}
	l.together("NATS_CERT", "NATS_KEY")
	l.together("NATS_USER", "NATS_PASSWORD")
	if !c.NATS.Embedded() || l.broken["NATS_URL"] {
		return
	}
	for _, setting := range []string{"NATS_CREDS", "NATS_NKEY", "NATS_USER", "NATS_TOKEN", "NATS_CA", "NATS_CERT"} {
		if l.text(setting) != "" && !l.broken[setting] {
			l.fail(setting, "set, but neither NATS_URL nor NATS_CONTEXT is, so that an embedded server would be started, which does not use it",
				"set NATS_URL, or unset this one")
		}
	}
}

func (l *loader) servers(setting string) string {
	if l.text(setting) == "" {
		return ""
	}
	servers, err := parseServers(l.text(setting))
	if err != nil {
		l.fail(setting, err.Error(), "use for example nats://localhost:4222")
		return ""
	}
	l.settle(setting, servers)
	return servers
}

func (l *loader) password(setting string) string {
	value := l.text(setting)
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		l.fail(setting, "it holds a line break or another control character", "give it in one line")
	}
	return value
}

// readable opens the file now: nats.go reads it with each attempt to connect,
// so that a wrong path would look like a server that is down.
func (l *loader) readable(setting string) string {
	path := l.text(setting)
	if path == "" {
		return ""
	}
	const fix = "name a file that this process may read"
	f, err := os.Open(path)
	if err != nil {
		l.fail(setting, "the file cannot be read: "+cause(err), fix)
		return path
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		l.fail(setting, "it is a folder", fix)
	}
	return path
}

// together demands that both settings are given or neither.
func (l *loader) together(a, b string) {
	if l.broken[a] || l.broken[b] {
		return
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if l.text(pair[0]) != "" && l.text(pair[1]) == "" {
			l.fail(pair[0], "it needs "+pair[1]+" as well", "set both or none")
		}
	}
}

func (l *loader) stream(c *Config) {
	c.Stream = l.text("ZOOMSTREAM_STREAM")
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`.*>/\`, r) }
	if strings.ContainsFunc(c.Stream, bad) || len(c.Stream) > 255 {
		l.fail("ZOOMSTREAM_STREAM", `NATS does not allow it as a stream's name`,
			`leave out white space and . * > / \, and use at most 255 bytes`)
	}
	c.StreamReplicas = l.number("ZOOMSTREAM_STREAM_REPLICAS", 1, 5)
	if c.StreamReplicas > 1 && c.NATS.Embedded() && !l.broken["NATS_URL"] {
		l.fail("ZOOMSTREAM_STREAM_REPLICAS", "the embedded NATS server is a single one and can only hold 1",
			"use 1, or set NATS_URL to a cluster")
	}
	c.StreamMaxAge = l.duration("ZOOMSTREAM_STREAM_MAX_AGE", 0)
	c.StreamMaxBytes = l.size("ZOOMSTREAM_STREAM_MAX_BYTES", 0)
	c.Prefix = l.prefix("ZOOMSTREAM_PREFIX")
	c.Dedupe = l.oneOf("ZOOMSTREAM_DEDUPE", "tracking", "content")

	// nats-server refuses a window of less than 100ms and one above the age.
	c.DuplicateWindow = l.duration("ZOOMSTREAM_DUPLICATE_WINDOW", 100*time.Millisecond)
	if c.StreamMaxAge > 0 && c.DuplicateWindow > c.StreamMaxAge {
		l.fail("ZOOMSTREAM_DUPLICATE_WINDOW", "longer than ZOOMSTREAM_STREAM_MAX_AGE, which is "+l.text("ZOOMSTREAM_STREAM_MAX_AGE"),
			"shorten it or keep events longer")
	}
}

func (l *loader) prefix(setting string) string {
	prefix := l.text(setting)
	for token := range strings.SplitSeq(prefix, ".") {
		if !isToken(token) {
			l.fail(setting, "not a list of subject tokens", "use A-Z a-z 0-9 _ - with single dots between, for example zoom or acme.zoom")
			break
		}
		if token == "_bridge" {
			l.fail(setting, "the token _bridge is kept for zoomstream's own messages", "choose another")
			break
		}
	}
	return prefix
}

func (l *loader) replicas(c *Config) {
	c.Bucket = l.text("ZOOMSTREAM_BUCKET")
	if !isToken(c.Bucket) || len(c.Bucket) > 200 {
		l.fail("ZOOMSTREAM_BUCKET", "NATS does not allow it as a bucket's name", "use A-Z a-z 0-9 _ - only, at most 200 of them")
	}
	c.Replica = l.text("ZOOMSTREAM_REPLICA")
	switch {
	case c.Replica == "":
		c.Replica = replicaName()
		l.settle("ZOOMSTREAM_REPLICA", c.Replica)
	case !isToken(c.Replica):
		l.fail("ZOOMSTREAM_REPLICA", "it cannot be part of a NATS subject", "use A-Z a-z 0-9 _ - only, no dots")
	}
	// The server counts the life of a message in whole seconds and cuts off
	// the rest; below 3s there is no room for a renewal and its margin.
	c.LeaseTTL = l.duration("ZOOMSTREAM_LEASE_TTL", 3*time.Second)
	if c.LeaseTTL%time.Second != 0 {
		l.fail("ZOOMSTREAM_LEASE_TTL", "not whole seconds, which is how NATS counts", "use for example 15s")
	}
	c.Heartbeat = l.duration("ZOOMSTREAM_HEARTBEAT", time.Second)
}

// replicaName is the host's name, made a subject token, and a random part, so
// that two replicas on one host differ.
func replicaName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "replica"
	}
	name := strings.Map(func(r rune) rune {
		if isToken(string(r)) {
			return r
		}
		return '-'
	}, host)
	return name[:min(len(name), 63)] + "-" + strings.ToLower(rand.Text()[:6])
}

func (l *loader) disk(c *Config) {
	c.DataDir = l.text("ZOOMSTREAM_DATA_DIR")
	c.SpoolDir = l.text("ZOOMSTREAM_SPOOL_DIR")
	if c.SpoolDir == "" {
		c.SpoolDir = filepath.Join(c.DataDir, "spool")
		l.settle("ZOOMSTREAM_SPOOL_DIR", c.SpoolDir)
	}
	c.SpoolMax = l.size("ZOOMSTREAM_SPOOL_MAX", 1)
}

func (l *loader) operation(c *Config) {
	c.HTTPAddr = l.address("ZOOMSTREAM_HTTP_ADDR")
	c.LogLevel = l.oneOf("ZOOMSTREAM_LOG_LEVEL", "trace", "debug", "info", "warn", "error")
	c.LogFormat = l.oneOf("ZOOMSTREAM_LOG_FORMAT", "json", "console", "auto")
}

func (l *loader) address(setting string) string {
	value := l.text(setting)
	if strings.EqualFold(value, "off") {
		return ""
	}
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		l.fail(setting, "not a host and a port", "use for example 127.0.0.1:8480, :8480 for all interfaces, or off")
	}
	return value
}

func (l *loader) duration(setting string, least time.Duration) time.Duration {
	d, err := parseDuration(l.text(setting))
	if err != nil {
		l.fail(setting, err.Error(), "use for example 15s, 30m or 7d")
		return 0
	}
	if d < least {
		l.fail(setting, "too short", "use "+least.String()+" or more")
		return 0
	}
	return d
}

func (l *loader) size(setting string, least int64) int64 {
	n, err := parseSize(l.text(setting))
	if err != nil {
		l.fail(setting, err.Error(), "use for example 1GiB, 500MB or a number of bytes")
		return 0
	}
	if n < least {
		l.fail(setting, "too small", "use for example 1GiB")
	}
	return n
}

func (l *loader) number(setting string, least, most int) int {
	n, err := strconv.Atoi(l.text(setting))
	if err != nil || n < least || n > most {
		l.fail(setting, fmt.Sprintf("not a number from %d to %d", least, most), fmt.Sprintf("use for example %d", least))
		return 0
	}
	return n
}

func (l *loader) oneOf(setting string, words ...string) string {
	for _, word := range words {
		if strings.EqualFold(l.text(setting), word) {
			l.settle(setting, word)
			return word
		}
	}
	l.fail(setting, "no such choice", "use "+strings.Join(words, ", "))
	return ""
}

// isToken reports whether s can be a subject token and a bucket's name.
func isToken(s string) bool {
	return consistsOf(s, "_-")
}

// consistsOf reports whether s is not empty and has letters, digits and the
// given other characters only, all ASCII.
func consistsOf(s, others string) bool {
	for _, r := range s {
		alnum := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !alnum && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return s != ""
}
