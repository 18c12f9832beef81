package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

const marker = "mArK3r"

// secretSettings returns settings with the marker as every secret, and in every URL that may
// contain a credential.
func secretSettings() map[string]string {
	vars := map[string]string{
		"ZOOM_WEBSOCKET_URL": endpoint + "sub&access_token=" + marker + "&other=" + marker + "#" + marker,
		"ZOOM_OAUTH_URL":     "https://zoom.us/oauth/token?code=" + marker,
		"NATS_URL":           "nats://user:" + marker + "@a:4222,nats://" + marker + "@b,wss://c/?jwt=" + marker,
		"NATS_USER":          "user",
	}
	for _, r := range table {
		if r.kind == "secret" {
			vars[r.setting] = marker
		}
	}
	vars["ZOOMSTREAM_ALARM_WEBHOOK_URL"] = "https://hooks.example/" + marker + "?key=" + marker
	return vars
}

// TestNoSecretIsShown: whatever else is wrong, neither an error nor Effective shows a secret.
func TestNoSecretIsShown(t *testing.T) {
	breaks := map[string]string{"": ""} // nothing broken
	for _, r := range table {
		breaks[r.setting] = "\x01 broken"
		if r.kind == "path" { // the content pasted instead of the path
			breaks[r.setting] = "-----BEGIN " + marker
		}
		if r.setting == "NATS_URL" {
			breaks[r.setting+fileSuffix] = writeFile(t, "nats://user:"+marker+"@h\nnats://user:1#"+marker+"@h")
		}
		if r.kind == "secret" {
			breaks[r.setting] = marker + "\n" + marker + "\"'\x00"
			breaks[r.setting+fileSuffix] = writeFile(t, marker+"\x01 '"+marker)
		}
	}
	for name, urls := range map[string][]string{
		"ZOOM_WEBSOCKET_URL": {
			marker, endpoint + "a.b&access_token=" + marker, "wss://" + marker + "@ws.zoom.us/ws",
			endpoint + "a%26access_token%3D" + marker, endpoint + "a " + endpoint + "a&access_token=" + marker,
			"wss://ws.zoom.us/ws?access_token=" + marker, "wss://ws.zoom.us:x/?access_token=" + marker,
			"ws://ws.zoom.us/ws?subscriptionId=a&access_token=" + marker, endpoint + "%zz&access_token=" + marker,
			endpoint + "a&access_token=" + marker + "," + endpoint + "&access_token=" + marker,
			"wss:ws.zoom.us?" + marker,
		},
		"ZOOMSTREAM_ALARM_WEBHOOK_URL": {
			"http://hooks.example/" + marker, "https://u:" + marker + "@hooks.example/", "https://hooks.example:" + marker + "/", "https://hooks.example/%zz" + marker,
			marker + "://hooks.example/", "'https://hooks.example/" + marker + "'",
		},
		"ZOOM_OAUTH_URL": {"http://zoom.us/?x=" + marker, "https://" + marker + ":x@zoom.us", "https://u:" + marker + "@zoom.us:x"},
		"NATS_URL": {
			"user:" + marker + "@host", "nats://user:" + marker + ",x@host", "nats://user:12," + marker + "@host", "http://" + marker + "@h",
			"nats://user:" + marker + "#x@host", "nats://user:1#" + marker + "@host", "nats://user:1/" + marker + "@host", "nats://u:" + marker + " @h",
		},
	} {
		for i, u := range urls {
			breaks[fmt.Sprintf("%s#%d", name, i)] = u
		}
	}
	for name, value := range breaks {
		setting, _, _ := strings.Cut(name, "#")
		for _, from := range []string{"environment", "file", "flag"} {
			t.Run(name+" from "+from, func(t *testing.T) {
				vars := secretSettings()
				if base, ok := strings.CutSuffix(setting, fileSuffix); ok {
					delete(vars, base)
				}
				if setting != "" {
					vars[setting] = value
				}
				var s Settings
				var env []string
				path := ""
				switch from {
				case "environment":
					env = environ(vars)
				case "file":
					var lines strings.Builder
					for name, value := range vars {
						r, _ := rowOf(name)
						fmt.Fprintf(&lines, "%s: %q\n", r.key, value)
					}
					path = writeFile(t, lines.String())
				case "flag":
					s = settingsOf(vars)
				}
				c, err := Load(s, path, env)
				if err != nil {
					noMarker(t, err.Error())
					noMarker(t, fmt.Sprintf("%+v", err))
					return
				}
				text := fmt.Sprint(c.Effective())
				noMarker(t, text)
				if !strings.Contains(text, masked) || !strings.Contains(text, "subscriptionId=") {
					t.Errorf("effective values do not look right: %s", text)
				}
			})
		}
	}
}

func noMarker(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, marker) {
		t.Errorf("a secret is shown in %s", text)
	}
}

func TestSecretFiles(t *testing.T) {
	good := func(text string) {
		t.Helper()
		vars := working()
		delete(vars, "ZOOM_CLIENT_SECRET")
		vars["ZOOM_CLIENT_SECRET_FILE"] = writeFile(t, text)
		c, err := Load(Settings{}, "", environ(vars))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if c.Zoom.ClientSecret != "s3cret" {
			t.Errorf("%q gives %q", text, c.Zoom.ClientSecret)
		}
	}
	good("s3cret")
	good("s3cret\n")
	good("s3cret\r\n\r\n")

	bad := func(path, problem string) {
		t.Helper()
		badFile(t, path, problem)
	}
	shown := func(path, problem string) { // shows the path
		t.Helper()
		badFile(t, path, fmt.Sprintf(problem, path))
	}
	const fix = "; name one that exists and that this process may read"
	const hidden = "; give the path of a file, not what is in it (the value is not shown: it may be the secret itself)"
	bad("TheSecretItself", "the file cannot be read: no such file or directory"+hidden)
	bad("/TheSecretItself+=", "the file cannot be read: no such file or directory"+hidden)
	bad("The/Secret/itself", "the file cannot be read: no such file or directory"+hidden)
	shown("/no/such/secret", "the file %q cannot be read: no such file or directory"+fix)
	shown(t.TempDir(), "the file %q cannot be read: is a directory"+fix)
	shown(t.TempDir()+"/None", "the file %q cannot be read: no such file or directory"+fix)
	shown(writeFile(t, " \n"), "the file %q is empty; write the secret into it")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	shown("secret.txt", "the file %q (looked for in "+folder+") cannot be read: no such file or directory"+fix)
	if os.Getuid() != 0 {
		secret := writeFile(t, "x")
		if err := os.Chmod(secret, 0); err != nil {
			t.Fatal(err)
		}
		shown(secret, "the file %q cannot be read: permission denied"+fix)
	}
}

// badFile checks that a secret's file is refused with the given problem.
func badFile(t *testing.T, path, problem string) {
	t.Helper()
	vars := working()
	delete(vars, "ZOOM_CLIENT_SECRET")
	vars["ZOOM_CLIENT_SECRET_FILE"] = path
	_, err := Load(Settings{}, "", environ(vars))
	wantErrors(t, err, "ZOOM_CLIENT_SECRET (environment ZOOM_CLIENT_SECRET_FILE): "+problem)
	if _, missing := errors.AsType[*MissingError](err); missing {
		t.Errorf("a secret in a bad file is called missing: %v", err)
	}
}

func TestSecretIsTrimmed(t *testing.T) {
	c, err := loadWith("ZOOM_CLIENT_SECRET=s3cret\n", "ZOOM_CLIENT_ID= id\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Zoom.ClientSecret != "s3cret" || c.Zoom.ClientID != "id" {
		t.Errorf("credentials are %q and %q", c.Zoom.ClientID, c.Zoom.ClientSecret)
	}
}

func TestEffectiveMasksURLs(t *testing.T) {
	c, err := Load(settingsOf(secretSettings()), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ZOOM_CLIENT_SECRET": "***",
		"ZOOM_WEBSOCKET_URL": endpoint + "sub",
		"ZOOM_OAUTH_URL":     "https://zoom.us/oauth/token",
		"NATS_URL":           "nats://a:4222,nats://b,wss://c/",
		"NATS_CREDS":         "",
		"ZOOMSTREAM_STREAM":  "ZOOM",
	}
	for _, v := range c.Effective() {
		if w, ok := want[v.Name]; ok && v.Value != w {
			t.Errorf("%s is shown as %q, want %q", v.Name, v.Value, w)
		}
		if strings.HasSuffix(v.Name, fileSuffix) {
			t.Errorf("%s has a line of its own", v.Name)
		}
	}
}
