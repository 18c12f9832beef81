package config

import (
	"net/url"
	"strings"
	"testing"
)

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"0", "15s", "1d12h", "1.5w", "9999999w", ".d", "1µs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if d < 0 || err != nil && d != 0 {
			t.Fatalf("%q is %v, %v", s, d, err)
		}
		if err != nil {
			return
		}
		if again, err := parseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is %v, read again %v, %v", s, d, again, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "1GiB", "500 MB", "9223372036854775807", "8388608TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseSize(s); n < 0 || err != nil && n != 0 {
			t.Fatalf("%q is %d, %v", s, n, err)
		}
	})
}

// What is accepted has a usable subscription and no token, and reading it
// again changes nothing.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{
		endpoint + "a", endpoint + "a&access_token=t", "ws://[::1]:1/?subscriptionId=a=&ACCESS_TOKEN=t&x=%41#f",
		endpoint + "%61&access%5Ftoken", "wss://u:p@h/?subscriptionId=a", "ws://127.0.0.1?;&subscriptionId=a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		redact(s)
		e, err := parseEndpoint(s)
		if err != nil {
			return
		}
		u, err := url.Parse(e.URL)
		if err != nil {
			t.Fatalf("%q gives the URL %q: %v", s, e.URL, err)
		}
		for name := range u.Query() {
			if strings.EqualFold(name, "access_token") {
				t.Fatalf("%q gives %q, which has a token", s, e.URL)
			}
		}
		if u.Query().Get("subscriptionId") != e.Subscription || !isSubscription(e.Subscription) {
			t.Fatalf("%q gives %q", s, e)
		}
		if again, err := parseEndpoint(e.URL); err != nil || again != e {
			t.Fatalf("%q gives %q, read again %q, %v", s, e, again, err)
		}
	})
}

func FuzzParseServers(f *testing.F) {
	for _, s := range []string{"a:1,nats://u:mArK3r@b", "nats://u:1,mArK3r@h", "nats://u:1#mArK3r@h", "u@h", "wss://h/?mArK3r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		servers, err := parseServers(s)
		if err != nil {
			return
		}
		if again, err := parseServers(servers); err != nil || again != servers {
			t.Fatalf("%q gives %q, read again %q, %v", s, servers, again, err)
		}
		for server := range strings.SplitSeq(servers, ",") {
			u, err := url.Parse(server)
			if err != nil || u.Host == "" {
				t.Fatalf("%q gives the server %q: %v", s, server, err)
			}
			if pw, ok := u.User.Password(); ok && len(pw) > 8 && strings.Contains(redact(servers), pw) && !strings.Contains(u.Host+u.Path, pw) {
				t.Fatalf("%q is shown as %q", s, redact(servers))
			}
		}
	})
}

// The loader never panics, and no error tells a value.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{
		"stream: a\n", "zoom_websocket_url: [a, 'b']\n", "a: &x b\nc: *x\n<<: *x", "? [a]\n: b", "!!str a: b", "- a\n- b",
		"stream: |\n  a\n  b\n", "stream: >-\n a\n", "stream: \"\\q\"", "{a: b, a: c}", "%YAML 1.2\n---\na: b\n...\n", "a:\n\t- b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, errs := parseFile("path", text)
		if l == nil && len(errs) == 0 {
			t.Fatal("neither values nor an error")
		}
		for name, g := range l {
			if _, known := rowOf(name); !known || g.value == "" || !strings.HasPrefix(g.source, "file path:") {
				t.Fatalf("%s is %+v", name, g)
			}
		}
		for _, err := range errs {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Fatalf("more than a line: %q", err)
			}
		}
	})
}
