//go:build unix

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestBoundsOfTheFile: whatever a file contains, reading it takes little memory.
func TestBoundsOfTheFile(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, (1<<20-64)/len(unit)) }
	var keys, deep strings.Builder
	for n := range 10_000 {
		fmt.Fprintf(&keys, "key-%d: 1\n", n)
	}
	for n := range 1400 {
		deep.WriteString(strings.Repeat(" ", n) + "a:\n")
	}
	for name, text := range map[string]string{
		"lists in lists": fill("["), "in a setting": "stream: " + fill("["), "maps in maps": fill("{a: "), "dashes": fill("- "), "questions": fill("? "),
		"colons": fill(": "), "values": "a" + fill(": a"), "tags": fill("!a "), "anchors": fill("&a "), "aliases": "a: &a x\nstream: [" + strings.Repeat("*a,", 30_000) + "]",
		"laughs": "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nstream: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
		"keys":   keys.String(), "indents": deep.String(), "a list": "stream: [" + strings.Repeat("1,", 30_000) + "]", "lines": fill("#\n"), "one value": "stream: " + fill("x"),
		"escapes": "stream: \"" + fill(`\n`) + `"`, "documents": fill("---\n"), "a text": "stream: |\n" + fill(" x\n"), "percents": fill("%"), "zeros": fill("\x00"),
		"too much": fill("#\n") + fill("#\n"),
	} {
		path := writeFile(t, text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, errs := yamlFile{path: path}.read()
		runtime.ReadMemStats(&after)
		var said int
		for _, err := range errs {
			said += len(err.Error())
		}
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 64 {
			t.Errorf("%s: %d MiB", name, mib)
		}
		if said > 16<<10 {
			t.Errorf("%s: %d bytes of errors", name, said)
		}
	}
}

// TestFilesThatNeverEnd: a setting that names a file cannot have the process read a device for
// ever, wait for a pipe, or hold a file that is too large for a secret.
func TestFilesThatNeverEnd(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"/dev/zero": "not a regular file", fifo: "not a regular file", link: "not a regular file", t.TempDir(): "is a directory",
		writeFile(t, strings.Repeat("x", 2<<20)): "has more than ",
	}
	for path, want := range files {
		_, err := Load(Settings{}, path, environ(working()))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--config %s: %v", path, err)
		}
		for _, r := range table {
			if r.kind != "file" && r.kind != "path" {
				continue
			}
			vars := working()
			delete(vars, strings.TrimSuffix(r.setting, fileSuffix))
			vars[r.setting] = path
			_, err := Load(Settings{}, "", environ(vars))
			if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 4096 {
				t.Errorf("%s=%s: %.300v", r.setting, path, err)
			}
		}
	}
	long := writeFile(t, strings.Repeat("x", 64<<10+1))
	vars := working()
	delete(vars, "ZOOM_CLIENT_SECRET")
	vars["ZOOM_CLIENT_SECRET_FILE"] = long
	if _, err := Load(Settings{}, "", environ(vars)); err == nil || !strings.Contains(err.Error(), "more than 64 KiB") {
		t.Errorf("%v", err)
	}
}

// TestExposed: files and folders that others may read or write are reported.
func TestExposed(t *testing.T) {
	vars := working()
	delete(vars, "ZOOM_CLIENT_SECRET")
	vars["ZOOM_CLIENT_SECRET_FILE"], vars["NATS_KEY"], vars["NATS_CERT"], vars["NATS_CA"] = writeFile(t, "x"), writeFile(t, "x"), writeFile(t, "x"), writeFile(t, "x")
	vars["NATS_URL"], vars["ZOOMSTREAM_DATA_DIR"], vars["ZOOMSTREAM_SPOOL_DIR"] = "nats://127.0.0.1:4222", t.TempDir(), t.TempDir()
	file := writeFile(t, "zoom_secret_token: x\n")
	for mode, exposed := range map[os.FileMode]bool{0o600: false, 0o440: false, 0o640: false, 0o644: true, 0o620: true, 0o602: true} {
		for _, path := range []string{vars["ZOOM_CLIENT_SECRET_FILE"], vars["NATS_KEY"], vars["NATS_CERT"], vars["NATS_CA"], file, vars["ZOOMSTREAM_DATA_DIR"], vars["ZOOMSTREAM_SPOOL_DIR"]} {
			if info, err := os.Stat(path); err != nil || os.Chmod(path, mode|info.Mode().Perm()&0o100) != nil {
				t.Fatal(err)
			}
		}
		c, err := Load(Settings{}, file, environ(vars))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range c.Exposed() {
			names = append(names, e.Setting)
		}
		want := "ZOOM_CLIENT_SECRET_FILE NATS_KEY --config ZOOMSTREAM_DATA_DIR ZOOMSTREAM_SPOOL_DIR"
		if got := strings.Join(names, " "); exposed && got != want || !exposed && got != "" {
			t.Errorf("mode %o: %q", mode, got)
		}
	}
}
