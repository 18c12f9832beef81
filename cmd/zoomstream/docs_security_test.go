package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	dependenciesPage = "docs/dependencies.md"
	threatsPage      = "docs/threat-model.md"
)

// TestDependenciesOfDocs: docs/dependencies.md lists the modules that go.mod requires. go.mod
// replaces and excludes nothing: go install would refuse it.
func TestDependenciesOfDocs(t *testing.T) {
	t.Parallel()
	edit := exec.Command("go", "mod", "edit", "-json")
	edit.Dir = docsRoot
	out, err := edit.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
		Replace, Exclude []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Replace != nil || mod.Exclude != nil {
		t.Error("go install .../cmd/zoomstream@latest refuses a go.mod that replaces or excludes")
	}
	var required, written []string
	for _, m := range mod.Require {
		if m.Indirect {
			continue
		}
		required = append(required, m.Path)
		if strings.HasPrefix(m.Version, "v0.0.0-") {
			t.Errorf("%s %s was never released", m.Path, m.Version)
		}
	}
	docLines(t, dependenciesPage, func(line string) {
		if m := regexp.MustCompile("^\\| `([^`]+)` \\| .+ \\| .+ \\|$").FindStringSubmatch(line); m != nil {
			written = append(written, m[1])
		}
	})
	slices.Sort(required)
	slices.Sort(written)
	if !slices.Equal(required, written) {
		t.Errorf("go.mod requires\n%s\nand %s has\n%s", strings.Join(required, "\n"), dependenciesPage, strings.Join(written, "\n"))
	}
}

// TestThreats: the tests that docs/threat-model.md names exist.
func TestThreats(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile(`^\| .+ \| .+ \| (.+) \|$`)
	test := regexp.MustCompile("^`((?:Test|Fuzz)\\w+)` in `([\\w/]+)`$")
	known := make(map[string]string) // source of the tests, by package
	threats := 0
	docLines(t, threatsPage, func(line string) {
		m := row.FindStringSubmatch(line)
		if m == nil || m[1] == "test" {
			return
		}
		threats++
		for name := range strings.SplitSeq(m[1], ", ") {
			named := test.FindStringSubmatch(name)
			if named == nil {
				t.Errorf("%s: %q names no test", threatsPage, name)
				continue
			}
			folder := named[2]
			if known[folder] == "" {
				known[folder] = testCode(t, folder)
			}
			if !strings.Contains(known[folder], "\nfunc "+named[1]+"(") {
				t.Errorf("%s: %s has no %s", threatsPage, folder, named[1])
			}
		}
	})
	if threats < 20 {
		t.Errorf("only %d threats: this test does not find them", threats)
	}
	if n := strings.Count(readDoc(t, threatsPage), "\n"); n > 80 {
		t.Errorf("%s has %d lines, and is to be one page", threatsPage, n)
	}
}

// testCode returns the source of a package's tests.
func testCode(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(docsRoot, folder, "*_test.go"))
	if err != nil || files == nil {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	var code strings.Builder
	for _, f := range files {
		name, err := filepath.Rel(docsRoot, f)
		if err != nil {
			t.Fatal(err)
		}
		code.WriteString(readDoc(t, name))
	}
	return code.String()
}
