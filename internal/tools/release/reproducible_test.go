//go:build !race

// Excluded under the race detector, which would not see the programs that it builds.

package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const root = "../../.."

// TestReproducible builds a release of this platform twice, from two folders: the files are the
// same.
func TestReproducible(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("links the program twice")
	}
	elsewhere := t.TempDir()
	copyTree(t, root, elsewhere)
	platform := runtime.GOOS + "/" + runtime.GOARCH
	first, second := filepath.Join(t.TempDir(), "dist", "release"), filepath.Join(t.TempDir(), "another")
	for out, root := range map[string]string{first: root, second: elsewhere} {
		r := release{root: root, out: out, version: "v1.2.3", commit: "abc", at: time.Unix(1_700_000_000, 0).UTC()}
		if err := r.make([]string{platform}); err != nil {
			t.Fatal(err)
		}
	}
	name := "zoomstream_v1.2.3_" + strings.ReplaceAll(platform, "/", "_")
	files := []string{"SHA256SUMS", name + ".cdx.json", name + ".tar.gz"}
	for _, dir := range []string{first, second} {
		if got := names(t, dir); !slices.Equal(got, files) {
			t.Fatalf("%v, want %v", got, files)
		}
	}
	for _, f := range files {
		if !bytes.Equal(read(t, first, f), read(t, second, f)) {
			t.Errorf("%s: other bytes from another folder", f)
		}
	}
	var b bom
	if err := json.Unmarshal(read(t, first, name+".cdx.json"), &b); err != nil {
		t.Fatal(err)
	}
	if c := b.Metadata.Component; c.Version != "v1.2.3" || c.PURL != "pkg:golang/github.com/zoomstream/zoomstream@v1.2.3" {
		t.Errorf("the program is %+v", c)
	}
	for _, want := range []string{"github.com/nats-io/nats.go", "github.com/coder/websocket", "std"} {
		if !slices.ContainsFunc(b.Components, func(c bomComponent) bool { return c.Name == want && c.Version != "" }) {
			t.Errorf("the list has no %s", want)
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && slices.Contains([]string{".git", "data", "dist", "examples", "node_modules", "testdata"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case !entry.Type().IsRegular() || name == "zoomstream" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
