//go:build !race

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/zoomstream/zoomstream/internal/config"
)

// alertRule is one rule of deploy/prometheus/alerts.yaml.
type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readAlerts(t *testing.T) (rules []alertRule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string      `yaml:"name"`
			Rules []alertRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(readDeploy(t, "prometheus/alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("there are no rules")
	}
	return rules
}

func readDeploy(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dashboard has the parts of deploy/grafana/dashboard.json that the tests look at.
type dashboard struct {
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID      int            `json:"id"`
		Type    string         `json:"type"`
		Title   string         `json:"title"`
		GridPos map[string]int `json:"gridPos"`
		Targets []struct {
			RefID        string `json:"refId"`
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal(readDeploy(t, "grafana/dashboard.json"), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("there are no panels")
	}
	return d
}

// TestAlertRules: every rule tells people what to do.
func TestAlertRules(t *testing.T) {
	rules := readAlerts(t)
	seen := make(map[string]bool)
	for _, r := range rules {
		if !strings.HasPrefix(r.Alert, "Zoomstream") || seen[r.Alert] {
			t.Errorf("%s: another name", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if d := r.Annotations["description"]; r.Annotations["summary"] == "" || !strings.HasSuffix(d, ".") {
			t.Errorf("%s: %q: %q", r.Alert, r.Annotations["summary"], d)
		}
	}
}

// TestDashboard: the dashboard's panels can be told apart and do not overlap.
func TestDashboard(t *testing.T) {
	ids, titles, taken := make(map[int]bool), make(map[string]bool), make(map[[2]int]string)
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d, %q: another number and title", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s, a %s, has %d targets", p.Title, p.Type, len(p.Targets))
		}
		for i, target := range p.Targets {
			if target.RefID != string(rune('A'+i)) {
				t.Errorf("%s: target %d is %q", p.Title, i, target.RefID)
			}
		}
		at := p.GridPos
		if at["w"] < 1 || at["h"] < 1 || at["x"]+at["w"] > 24 {
			t.Errorf("%s is at %v", p.Title, at)
		}
		for x := range at["w"] {
			for y := range at["h"] {
				cell := [2]int{at["x"] + x, at["y"] + y}
				if other := taken[cell]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[cell] = p.Title
			}
		}
	}
}

// knownSettings has the names of all settings as environment variables.
func knownSettings() map[string]bool {
	settings := make(map[string]bool)
	for f := range reflect.TypeFor[config.Settings]().Fields() {
		settings[f.Tag.Get("setting")] = true
	}
	return settings
}

// TestSystemdUnit: the unit fits the program, including the lines that are commented out.
func TestSystemdUnit(t *testing.T) {
	settings := knownSettings()
	handed, values := make(map[string]bool), make(map[string]string)
	unit := string(readDeploy(t, "systemd/zoomstream.service"))
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z]\w+)=(.*)$`).FindAllStringSubmatch(unit, -1) {
		name, value := m[1], m[2]
		values[name] = value
		if id, file, ok := strings.Cut(value, ":"); ok && name == "LoadCredential" {
			handed[id] = strings.HasPrefix(file, "/etc/zoomstream/")
		}
		if name != "Environment" {
			continue
		}
		variable, is, _ := strings.Cut(value, "=")
		if !settings[variable] {
			t.Errorf("there is no setting %s", variable)
		}
		if id, ok := strings.CutPrefix(is, "%d/"); ok && !handed[id] {
			t.Errorf("%s: no credential %s is handed over", variable, id)
		}
	}
	if len(handed) < 2 {
		t.Errorf("the credentials are %v", handed)
	}
	for name, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "ExecReload": "kill -HUP $MAINPID", "Restart": "on-failure",
		"RestartPreventExitStatus": fmt.Sprint(exitUsage, " ", exitConfig), "StateDirectory": "zoomstream",
	} {
		if values[name] != want {
			t.Errorf("%s=%s, want %s", name, values[name], want)
		}
	}
	if !strings.Contains(unit, "\nEnvironment=ZOOMSTREAM_DATA_DIR=/var/lib/"+values["StateDirectory"]+"\n") {
		t.Error("the data are not in the state directory")
	}
	command := strings.Fields(values["ExecStart"])
	p := start(t, nil, command[1:]...)
	p.exit(exitConfig) // the line is valid, but the file does not exist
	if !strings.Contains(p.stderr.String(), "/etc/zoomstream/zoomstream.yaml") {
		t.Errorf("%s", &p.stderr)
	}
}

// TestCompose: the settings of the containers are the program's, and their paths exist in the tree.
func TestCompose(t *testing.T) {
	settings := knownSettings()
	var file struct {
		Services map[string]struct {
			Environment map[string]string
			Secrets     []string
			Volumes     []string
			Build       struct{ Context, Dockerfile string }
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal(readDeploy(t, "compose/compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	exists := func(path string) {
		if _, err := os.Stat(filepath.Join("../../deploy/compose", path)); err != nil {
			t.Error(err)
		}
	}
	for name, service := range file.Services {
		for variable, value := range service.Environment {
			if !settings[variable] && !strings.HasPrefix(variable, "GF_") {
				t.Errorf("%s: there is no setting %s", name, variable)
			}
			if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.Contains(service.Secrets, secret) {
				t.Errorf("%s is not given the secret %s", name, secret)
			}
		}
		for _, secret := range service.Secrets {
			exists(strings.Replace(file.Secrets[secret].File, "${ZOOM_SECRETS:-secrets}", "secrets", 1))
		}
		for _, volume := range service.Volumes {
			if from, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(from, ".") {
				exists(from)
			}
		}
		if service.Build.Context != "" {
			exists(filepath.Join(service.Build.Context, service.Build.Dockerfile))
		}
	}
	goVersion := regexp.MustCompile(`(?m)^ARG GO_VERSION=(.*)$`).FindSubmatch(readDeploy(t, "docker/Dockerfile"))
	module, err := os.ReadFile("../../go.mod")
	if err != nil || goVersion == nil || !strings.Contains(string(module), "\ngo "+string(goVersion[1])) {
		t.Errorf("go.mod and the Dockerfile want different versions of Go: %s, %v", goVersion, err)
	}
}
