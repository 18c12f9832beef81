package natsconn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestContext: a context of the nats tool is used unless a setting takes precedence. A wrong one
// is an error, which shows no password.
func TestContext(t *testing.T) {
	srv := runServer(t, &server.Options{Users: []*server.User{{Username: "u", Password: "p"}, {Username: "v", Password: "q"}}})
	dead := fmt.Sprintf("nats://127.0.0.1:%d", natstest.Port(t))
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(home, "nats", "context")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"right":    `{"url": "` + srv.ClientURL() + `", "user": "u", "password": "p"}`,
		"dead":     `{"url": "` + dead + `", "user": "u", "password": "p"}`,
		"stranger": `{"url": "` + srv.ClientURL() + `", "user": "u", "password": "wrong", "token": "wrong"}`,
		"inurl":    `{"url": "` + strings.Replace(srv.ClientURL(), "://", "://u:wrong@", 1) + `"}`,
		"domain":   `{"url": "` + srv.ClientURL() + `", "user": "u", "password": "p", "jetstream_domain": "hub", "jetstream_api_prefix": "JS.hub.API"}`,
		"jwt":      `{"url": "` + srv.ClientURL() + `", "user_jwt": "ey"}`,
		"broken":   `{"url": `,
		"badurl":   `{"url": "nats://u:ge/heim@127.0.0.1"}`,
		"nocreds":  `{"url": "` + srv.ClientURL() + `", "creds": "/nowhere/x.creds"}`,
		"endless":  `{"url": "` + srv.ClientURL() + `", "creds": "/dev/zero"}`,
		"noca":     `{"url": "` + srv.ClientURL() + `", "ca": "` + dir + `"}`,
		"large":    `{"url": "` + srv.ClientURL() + `", "user": "` + strings.Repeat("x", 64<<10) + `"}`,
		"noseed":   `{"url": "` + srv.ClientURL() + `", "creds": "` + dir + `/broken.json"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for name, o := range map[string]Options{
		"by name":                  {Context: "right"},
		"by path":                  {Context: filepath.Join(dir, "right.json")},
		"explicit server":          {Context: "dead", URL: srv.ClientURL()},
		"explicit user":            {Context: "stranger", User: "v", Password: "q"},
		"explicit user, not url's": {Context: "inurl", User: "v", Password: "q"},
		"explicit user in url":     {Context: "stranger", URL: strings.Replace(srv.ClientURL(), "://", "://v:q@", 1)},
		"explicit, not its jwt":    {Context: "jwt", User: "v", Password: "q"},
	} {
		t.Run(name, func(t *testing.T) {
			before := connections(t, srv)
			if err := Check(o); err != nil {
				t.Errorf("the check says %v", err)
			}
			if n := connections(t, srv) - before; n != 0 {
				t.Errorf("the check has connected %d times", n)
			}
			connect(t, o)
		})
	}
	for name, parts := range map[string][]string{
		"unknown": {`context "unknown": there is no file ` + filepath.Join(dir, "unknown.json") + "; there are badurl, broken, dead, domain, endless, ", " and 3 more"},
		"a/b":     {"neither the name of a context nor the absolute path"},
		"domain":  {`"domain"`, "jetstream_domain"},
		"jwt":     {"user_jwt", "NATS_CREDS"},
		"broken":  {`"broken"`, filepath.Join(dir, "broken.json") + " is not a context in JSON"},
		"badurl":  {"server 1 of 1", "percent-encode"},
		"nocreds": {`the file of its "creds" cannot be read`, "/nowhere/x.creds"},
		"noseed":  {"broken.json", "seed"},
		"endless": {"/dev/zero", "not a regular file"},
		"noca":    {"is a directory"},
		"large":   {"more than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(t.Context(), Options{Context: name})
			wantConfigErrors(t, err, "NATS_CONTEXT")
			want(t, err, parts...)
			if strings.Contains(err.Error(), "heim") {
				t.Errorf("%v shows the password", err)
			}
			if checked := Check(Options{Context: name}); checked == nil || checked.Error() != err.Error() {
				t.Errorf("the check says %v, Connect %v", checked, err)
			}
		})
	}
}

// connections returns how many connections the server has ever had.
func connections(t *testing.T, srv *server.Server) uint64 {
	t.Helper()
	v, err := srv.Varz(nil)
	must(t, err)
	return v.TotalConnections
}

func wantConfigErrors(t *testing.T, err error, settings ...string) {
	t.Helper()
	if _, ok := errors.AsType[*ConfigError](err); !ok {
		t.Fatalf("%v is no ConfigError", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(settings) {
		t.Errorf("%d errors, wanted %q:\n%v", len(lines), settings, err)
	}
	for _, setting := range settings {
		want(t, err, setting+": ")
	}
}

// TestWrongSettings: each is an error at once, although no server is there, and none shows a
// secret.
func TestWrongSettings(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for name, test := range map[string]struct {
		o        Options
		settings []string
		parts    []string
	}{
		"creds missing":   {Options{Creds: missing}, []string{"NATS_CREDS"}, []string{missing, "no such file"}},
		"creds garbage":   {Options{Creds: garbage}, []string{"NATS_CREDS"}, []string{garbage}},
		"creds content":   {Options{Creds: "-----BEGIN NATS USER JWT-----\ngeheim"}, []string{"NATS_CREDS"}, []string{"path of a file"}},
		"nkey missing":    {Options{NKey: missing}, []string{"NATS_NKEY"}, []string{missing}},
		"nkey garbage":    {Options{NKey: garbage}, []string{"NATS_NKEY"}, []string{garbage}},
		"nkey seed":       {Options{NKey: "SUA" + strings.Repeat("geheim", 9) + "x"}, []string{"NATS_NKEY"}, []string{"path of a file"}},
		"both":            {Options{Creds: garbage, Token: "geheim"}, []string{"NATS_TOKEN", "NATS_CREDS"}, []string{"together with NATS_CREDS; choose one"}},
		"url and user":    {Options{URL: "nats://geheim@h", User: "u", Password: "geheim"}, []string{"NATS_USER"}, []string{"a user in NATS_URL"}},
		"no password":     {Options{User: "u"}, []string{"NATS_PASSWORD"}, nil},
		"no user":         {Options{Password: "geheim"}, []string{"NATS_USER"}, nil},
		"no cert":         {Options{Key: garbage}, []string{"NATS_CERT"}, nil},
		"no key":          {Options{Cert: garbage}, []string{"NATS_KEY"}, nil},
		"bad cert":        {Options{Cert: garbage, Key: garbage}, []string{"NATS_CERT"}, nil},
		"ca missing":      {Options{CA: missing}, []string{"NATS_CA"}, []string{missing}},
		"ca garbage":      {Options{CA: garbage}, []string{"NATS_CA"}, []string{garbage}},
		"password in url": {Options{URL: "nats://h1, nats://u:ge/heim@h2"}, []string{"NATS_URL"}, []string{"server 2 of 2", "percent-encode"}},
		"scheme":          {Options{URL: "http://u:geheim@h"}, []string{"NATS_URL"}, []string{"nats://host:4222"}},
		"no host":         {Options{URL: "nats://:4222"}, []string{"NATS_URL"}, nil},
		"mixed":           {Options{URL: "nats://h,ws://h"}, []string{"NATS_URL"}, []string{"websocket"}},
		"all at once":     {Options{URL: "http://h", CA: missing, NKey: missing}, []string{"NATS_URL", "NATS_CA", "NATS_NKEY"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(t.Context(), test.o)
			wantConfigErrors(t, err, test.settings...)
			want(t, err, test.parts...)
			if strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "heim@") {
				t.Errorf("%v shows a secret", err)
			}
			if checked := Check(test.o); checked == nil || checked.Error() != err.Error() {
				t.Errorf("the check says %v, Connect %v", checked, err)
			}
		})
	}
}
