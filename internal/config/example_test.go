package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExample uncomments the settings of the example: each is known, and with their defaults the
// file changes nothing.
func TestExample(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#([a-z0-9_]+:)`).ReplaceAllString(Example(), "$1")
	for _, r := range table {
		if strings.Count(text, "\n"+r.key+": ") != 1 {
			t.Errorf("%s stands there %d times", r.key, strings.Count(text, "\n"+r.key+": "))
		}
		if r.preset == "" { // the example's placeholder may not be a valid value
			text = strings.Replace(text, "\n"+r.key+": ", "\n#"+r.key+": ", 1)
		}
	}
	path := filepath.Join(t.TempDir(), "zoomstream.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := LoadWithoutZoom(Settings{Replica: "a"}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadWithoutZoom(Settings{Replica: "a"}, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range got.Effective() {
		if value.Value != want.Effective()[i].Value {
			t.Errorf("%s is %s, want %s", value.Name, value.Value, want.Effective()[i].Value)
		}
	}
	if _, err := LoadWithoutZoom(Settings{}, "", []string{"ZOOMSTREAM_CONFIG=" + path}); err != nil {
		t.Errorf("named by the environment: %v", err)
	}
	for _, line := range strings.Split(Example(), "\n") {
		if len(line) > 160 {
			t.Errorf("a long line: %s", line)
		}
	}
}

// TestConfigVariable: the flag takes precedence over the variable, and an error says which of them
// named the file.
func TestConfigVariable(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("stream: GOOD\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := "ZOOMSTREAM_CONFIG=" + filepath.Join(dir, "missing.yaml")
	if cfg, err := LoadWithoutZoom(Settings{}, good, []string{missing}); err != nil || cfg.Stream != "GOOD" || cfg.File != (Value{"ZOOMSTREAM_CONFIG", good, "flag --config"}) {
		t.Errorf("%v, %v", cfg, err)
	}
	if cfg, err := LoadWithoutZoom(Settings{}, "", []string{"ZOOMSTREAM_CONFIG= " + good}); err != nil || cfg.Stream != "GOOD" || cfg.File != (Value{"ZOOMSTREAM_CONFIG", good, "environment ZOOMSTREAM_CONFIG"}) {
		t.Errorf("%v, %v", cfg, err)
	}
	if cfg, err := LoadWithoutZoom(Settings{}, "", []string{"ZOOMSTREAM_CONFIG="}); err != nil || cfg.Stream != "ZOOM" || cfg.File != (Value{"ZOOMSTREAM_CONFIG", "", "default"}) {
		t.Errorf("an empty one: %v, %v", cfg, err)
	}
	if _, err := LoadWithoutZoom(Settings{}, "", []string{missing}); err == nil || !strings.HasPrefix(err.Error(), "ZOOMSTREAM_CONFIG (environment) is ") {
		t.Errorf("%v", err)
	}
	if _, err := LoadWithoutZoom(Settings{}, filepath.Join(dir, "missing.yaml"), nil); err == nil || !strings.HasPrefix(err.Error(), "--config is ") {
		t.Errorf("%v", err)
	}
}
