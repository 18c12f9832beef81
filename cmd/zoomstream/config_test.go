package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConfigCommands: config check reports what run would report; config show names the source of
// each value and shows no secrets.
func TestConfigCommands(t *testing.T) {
	t.Parallel()
	const secret = "must-not-leak"
	file := filepath.Join(t.TempDir(), "zoomstream.yaml")
	if err := os.WriteFile(file, []byte("lease_ttl: 20s\nzoom_client_secret: "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"ZOOMSTREAM_CONFIG=" + file, "ZOOM_CLIENT_ID=" + secret, "ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws?subscriptionId=sub-1"}

	p := start(t, environ, "config", "check")
	p.exit(exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "The settings can work") {
		t.Error(text)
	}
	p = start(t, append(environ, "ZOOMSTREAM_LEASE_TTL=1h", "ZOOMSTREAM_DEDUPE=none"), "config", "check")
	p.exit(exitConfig)
	if text := p.stderr.String(); !strings.Contains(text, "ZOOMSTREAM_LEASE_TTL") || !strings.Contains(text, "ZOOMSTREAM_DEDUPE") {
		t.Error(text)
	}

	p = start(t, append(environ, "NATS_CONTEXT=no-such-context"), "config", "check")
	p.exit(exitConfig)
	if text := p.stderr.String(); !strings.Contains(text, `NATS_CONTEXT: context "no-such-context": there is no file`) {
		t.Error(text)
	}
	p = start(t, append(environ, "NATS_URL=nats://nobody.invalid"), "config", "check")
	p.exit(exitOK)

	p = start(t, environ, "config", "show", "--stream=EVENTS")
	p.exit(exitOK)
	if got, want := strings.Fields(p.stdout.String())[:4], []string{"ZOOMSTREAM_CONFIG", file, "environment", "ZOOMSTREAM_CONFIG"}; !slices.Equal(got, want) {
		t.Errorf("the first row is %q, want %q", got, want)
	}
	for _, fields := range []string{
		"ZOOM_CLIENT_ID *** environment ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET *** file " + file + ":2", "ZOOM_SECRET_TOKEN - default",
		"ZOOMSTREAM_STREAM EVENTS flag --stream", "ZOOMSTREAM_LEASE_TTL 20s file " + file + ":1", "ZOOMSTREAM_HEARTBEAT 25s default",
	} {
		if !strings.Contains(strings.Join(strings.Fields(p.stdout.String()), " "), fields) {
			t.Errorf("%q is missing from\n%s", fields, &p.stdout)
		}
	}
	asJSON := start(t, environ, "config", "show", "--json")
	asJSON.exit(exitOK)
	var all []struct{ Name, Value, Source string }
	if err := json.Unmarshal([]byte(asJSON.stdout.String()), &all); err != nil || len(all) < 30 || all[0].Name != "ZOOMSTREAM_CONFIG" || all[0].Value != file || all[1].Name != "ZOOM_CLIENT_ID" || all[1].Value != "***" {
		t.Errorf("%v: %s", err, &asJSON.stdout)
	}
	if text := p.stdout.String() + asJSON.stdout.String(); strings.Contains(text, secret) {
		t.Errorf("a secret is shown:\n%s", text)
	}
	p = start(t, nil, "config", "example")
	p.exit(exitOK)
	if text := p.stdout.String(); !strings.Contains(text, "\n#lease_ttl: 15s\n") {
		t.Error(text)
	}
}

// TestHelpAndVersion tries each way in which people ask for help and for the version.
func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"help"}, exitOK, "Commands:"}, {[]string{"help", "tail"}, exitOK, "Usage: zoomstream tail"}, {[]string{"help", "config", "show"}, exitOK, "Usage: zoomstream config show"},
		{[]string{"--version"}, exitOK, "zoomstream "}, {[]string{"help", "nothing"}, exitUsage, "unexpected argument"},
	} {
		p := start(t, nil, c.args...)
		p.exit(c.code)
		if text := p.stdout.String() + p.stderr.String(); !strings.Contains(text, c.want) {
			t.Errorf("%v: %s", c.args, text)
		}
	}
}

// TestHelpListsWhatIsUsed: a command's help lists the settings that it uses. It accepts the others
// too.
func TestHelpListsWhatIsUsed(t *testing.T) {
	t.Parallel()
	for command, flags := range map[string][2]string{
		"status":  {"--nats-url --nats-creds --nats-password-file --nats-addr --data-dir --bucket --watch", "--zoom- --lease-ttl --spool-max --stream --log-level --nats-anonymous"},
		"gaps":    {"--nats-url --stream= --prefix --bucket --since", "--zoom- --lease-ttl --spool-max --stream-replicas"},
		"find":    {"--nats-url --stream= --prefix --bucket --since", "--zoom- --lease-ttl --spool-max --stream-replicas"},
		"tail":    {"--nats-url --stream= --prefix --since", "--zoom- --lease-ttl --spool-max --stream-replicas --bucket"},
		"forward": {"--nats-url --stream= --prefix --stream-replicas --forward-secret-file --log-level", "--zoom- --lease-ttl --spool-max --bucket --stream-max-age"},
		"doctor":  {"--zoom-client-id --nats-url --lease-ttl", "--rate"},
		"run":     {"--zoom-client-id --nats-url --lease-ttl", "--watch"},
	} {
		var out, errs bytes.Buffer
		if code := run(&process{ctx: t.Context(), stdout: &out, stderr: &errs}, []string{command, "--help"}); code != exitOK {
			t.Errorf("%s: exit code %d: %s", command, code, &errs)
		}
		text := out.String()
		for flag := range strings.FieldsSeq(flags[0]) {
			if !strings.Contains(text, "  "+flag) {
				t.Errorf("%s: %s is missing from\n%s", command, flag, text)
			}
		}
		for flag := range strings.FieldsSeq(flags[1]) {
			if strings.Contains(text, "  "+flag) {
				t.Errorf("%s: %s is in\n%s", command, flag, text)
			}
		}
		if all := command == "run" || command == "doctor"; all == strings.Contains(strings.Join(strings.Fields(text), " "), "zoomstream run --help lists them") {
			t.Errorf("%s: where the others are:\n%s", command, text)
		}
	}
	p := start(t, nil, "status", "--lease-ttl=1h", "--zoom-client-id=x") // it is read, and found wrong
	p.exit(exitConfig)
}

// TestCompletion: each installed shell accepts its completion script, and bash completes.
func TestCompletion(t *testing.T) {
	t.Parallel()
	scripts := map[string]string{}
	for shell, want := range map[string]string{"bash": "complete -o default -F _zoomstream", "zsh": "#compdef zoomstream", "fish": "complete -c zoomstream"} {
		p := start(t, nil, "completion", shell)
		p.exit(exitOK)
		scripts[shell] = p.stdout.String()
		if !strings.Contains(scripts[shell], want) || !strings.Contains(scripts[shell], "zoom-client-secret-file") {
			t.Errorf("%s: %s", shell, scripts[shell])
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("there is no %s on this machine to read the script", shell)
			continue
		}
		read := exec.Command(path, "-n")
		read.Stdin = strings.NewReader(scripts[shell])
		if out, err := read.CombinedOutput(); err != nil {
			t.Errorf("%s does not read it: %v: %s", shell, err, out)
		}
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash on this machine to complete with")
	}
	for words, want := range map[string]string{"zoomstream st": "status", "zoomstream tail --fol": "--follow", "zoomstream config sh": "show", "zoomstream completion f": "fish", "zoomstream run --lease": "--lease-ttl", "zoomstream help ta": "tail"} {
		ask := exec.Command("bash", "-c", scripts["bash"]+"\nCOMP_WORDS=("+words+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _zoomstream; echo \"${COMPREPLY[@]}\"")
		out, err := ask.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", words, got, want, err)
		}
	}
}
