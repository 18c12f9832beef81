package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParseEndpoint: an accepted endpoint has a usable subscription and no token, and parsing it
// again changes nothing.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{
		endpoint + "a", endpoint + "a&access_token=t", "ws://[::1]:1/?subscriptionId=a=&ACCESS_TOKEN=t&x=%41#f",
		endpoint + "%61&access%5Ftoken", "wss://u:p@h/?subscriptionId=a", "ws://127.0.0.1?;&subscriptionId=a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		redactURLs(s)
		e, err := parseEndpoint(s)
		if err != nil {
			return
		}
		u, err := url.Parse(e.URL)
		if err != nil {
			t.Fatalf("%q gives the URL %q: %v", s, e.URL, err)
		}
		if u.Query().Has("access_token") {
			t.Fatalf("%q gives %q, which has a token", s, e.URL)
		}
		if u.Query().Get("subscriptionId") != e.Subscription || !subscriptionID.MatchString(e.Subscription) {
			t.Fatalf("%q gives %q", s, e)
		}
		if again, err := parseEndpoint(e.URL); err != nil || again != e {
			t.Fatalf("%q gives %q, read again %q, %v", s, e, again, err)
		}
	})
}

func FuzzServers(f *testing.F) {
	for _, s := range []string{"a:1,nats://u:mArK3r@b", "nats://u:1,mArK3r@h", "nats://u:1#mArK3r@h", "u@h", "wss://h/?mArK3r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var list string
		if servers(&list)(s) != nil {
			return
		}
		var again string
		if err := servers(&again)(list); err != nil || again != list {
			t.Fatalf("%q gives %q, read again %q, %v", s, list, again, err)
		}
		for server := range strings.SplitSeq(list, ",") {
			u, err := url.Parse(server)
			if err != nil || u.Host == "" {
				t.Fatalf("%q gives the server %q: %v", s, server, err)
			}
			if pw, ok := u.User.Password(); ok && len(pw) > 8 && strings.Contains(redactURLs(list), pw) && !strings.Contains(u.Host+u.Path, pw) {
				t.Fatalf("%q is shown as %q", s, redactURLs(list))
			}
		}
	})
}

// FuzzFile: no file makes the reader panic.
func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"stream: a\n", "zoom_websocket_url: [a, 'b']\n", "a: &x b\nc: *x\n<<: *x", "? [a]\n: b", "!!str a: b", "- a\n- b",
		"stream: |\n  a\n  b\n", "stream: >-\n a\n", "stream: \"\\q\"", "{a: b, a: c}", "%YAML 1.2\n---\na: b\n...\n", "a:\n\t- b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, errs := yamlFile{path: path}.read()
		if l == nil && len(errs) == 0 {
			t.Fatal("neither values nor an error")
		}
		for name, g := range l {
			if _, known := rowOf(name); !known || g.value == "" || !strings.HasPrefix(g.source, "file "+path+":") {
				t.Fatalf("%s is %+v", name, g)
			}
		}
	})
}
