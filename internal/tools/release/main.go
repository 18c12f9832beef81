// Command release makes what `make release` puts into dist/release: for each platform an archive
// with the static program and the licences of everything linked into it, and an SBOM; and the
// checksums of all files.
//
// Builds are reproducible: the same commit, built with the same version of Go, gives the same bytes
// on any machine and in any folder. So nothing of the machine is included: no paths, no time but
// the commit's, no user, and none of the builder's Go settings.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	var r release
	flag.StringVar(&r.root, "root", ".", "folder of the module")
	flag.StringVar(&r.out, "out", "dist/release", "folder to write to; it must not be there yet")
	flag.StringVar(&r.version, "version", "dev", "version, in the program and in the names of files")
	flag.StringVar(&r.commit, "commit", "unknown", "commit, in the program")
	flag.BoolVar(&r.check, "check", false, "check the licences only")
	seconds := flag.Int64("time", 0, "time of the commit, in seconds since 1970, which the files get")
	flag.Parse()
	r.at = time.Unix(*seconds, 0).UTC()
	if err := r.make(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

type release struct {
	root, out       string
	version, commit string
	at              time.Time
	check           bool
}

// make writes the files for platforms such as linux/amd64.
func (r release) make(platforms []string) error {
	linked := make(map[string][]module)
	for _, p := range platforms {
		modules, err := linkedModules(r.root, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		linked[p] = modules
	}
	if r.check {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(r.out, 0o755); err != nil {
		return err
	}
	for _, p := range platforms {
		if err := r.makePlatform(p, linked[p]); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return writeChecksums(r.out)
}

func (r release) makePlatform(platform string, modules []module) error {
	temp, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, "zoomstream")
	if err := r.build(platform, program, modules); err != nil {
		return err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("zoomstream_%s_%s", r.version, strings.ReplaceAll(platform, "/", "_"))
	files := []file{{"zoomstream", 0o755, binary}, {"NOTICE", 0o644, []byte(notice(modules))}}
	for _, f := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(r.root, f))
		if err != nil {
			return err
		}
		files = append(files, file{f, 0o644, text})
	}
	archive, err := pack(name, files, r.at)
	if err != nil {
		return err
	}
	bom, err := r.bom(platform, sha256.Sum256(binary), modules)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, name+".tar.gz"), archive, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, name+".cdx.json"), bom, 0o644)
}

// writeChecksums writes the input of sha256sum -c.
func writeChecksums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var lines []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), e.Name()))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(strings.Join(lines, "")), 0o644)
}
