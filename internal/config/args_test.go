package config

import (
	"strings"
	"testing"
)

func TestFlagGivenTwice(t *testing.T) {
	for _, args := range [][]string{
		{"run", "--zoom-websocket-url", endpoint + "a", "--stream=x", "--zoom-websocket-url=" + endpoint + "b"},
		{"run", "--config=a", "--config=a"},
	} {
		flag, _, _ := strings.Cut(args[1], "=")
		_, err := newParser(t, &Settings{}).Parse(args)
		if err == nil || !strings.Contains(err.Error(), flag+" is given twice") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestRedactArgs: kong's error about a wrong command line shows neither a setting's value nor a
// stray argument, but still what is wrong.
func TestRedactArgs(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string // part of the error
	}{
		{[]string{"run", "--zoom-client-secret", "-" + marker}, `--zoom-client-secret: expected string value but got "***"`},
		{[]string{"run", "--zoom-client-secret", "--" + marker}, `perhaps try --zoom-client-secret="***"`},
		{[]string{"run", "--stream=" + marker[:4], "--zoom-client-secret", "-" + marker}, `got "***"`},
		{[]string{"run", "--nats-password", "-\"\\\n" + marker + "ü"}, `expected string value but got "***"`},
		{[]string{"run", "--zoom-client-secret", "secret", marker}, "unexpected argument ***"},
		{[]string{"run", "--zoom-client-secret=" + marker + "2", marker}, "unexpected argument ***"},
		{[]string{"run", marker, marker + "longer"}, "unexpected argument ***"},
		{[]string{"run", "--", marker}, "unexpected argument ***"},
		{[]string{"run", "ZOOM_CLIENT_SECRET=" + marker}, "unexpected argument ***"},
		{[]string{"ZOOM_CLIENT_SECRET=" + marker, "run"}, "unexpected argument ***"},
		{[]string{"run", "--zoom-client-secert=" + marker}, "unknown flag --zoom-client-secert, did you mean"},
		{[]string{"run", "--zoom-client-secert", marker}, "unknown flag --zoom-client-secert, did you mean"},
		{[]string{"run", "-" + marker}, "unknown flag -m"},
		{[]string{"rum", marker}, `unexpected argument rum, did you mean "run"`},
		{[]string{"run", "--config", "-conf"}, `expected string value but got "-conf"`},
		{[]string{"run", "e"}, "unexpected argument e"},
	} {
		_, err := newParser(t, &Settings{}).Parse(test.args)
		if err == nil {
			t.Fatalf("%q: no error", test.args)
		}
		text := RedactArgs(err.Error(), test.args)
		noMarker(t, text)
		if !strings.Contains(text, test.want) {
			t.Errorf("%q gives %q, want %q", test.args, text, test.want)
		}
	}
}
