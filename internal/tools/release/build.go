package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const command = "./cmd/zoomstream"

// module is a module linked into the program. The standard library is the module std.
type module struct {
	path, version, sum string
	main               bool
	licence            string // SPDX expression
	texts              []licenceText
	imports            []string // paths of the modules it imports
}

// goCommand returns a command that runs Go for a platform, without cgo and without the builder's
// settings.
func goCommand(root, platform string, args ...string) *exec.Cmd {
	system, arch, _ := strings.Cut(platform, "/")
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly",
		"GOWORK=off", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0")
	return cmd
}

// listedPackage is a package in the output of go list.
type listedPackage struct {
	ImportPath, Dir string
	Standard        bool
	Imports         []string
	Module          *struct {
		Path, Version, Sum, Dir string
		Main                    bool
		Replace                 *struct{ Path string }
	}
}

// linkedModules returns the modules linked for a platform, sorted, the program's own first. It
// fails if a licence is unknown or not allowed.
func linkedModules(root, platform string) ([]module, error) {
	out, err := goCommand(root, platform, "list", "-deps", "-json=ImportPath,Dir,Standard,Imports,Module", command).Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	env, err := goCommand(root, platform, "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	library, version, _ := strings.Cut(strings.TrimSpace(string(env)), "\n")
	return modulesOf(packages, library, strings.TrimPrefix(version, "go"))
}

// modulesOf groups packages by module. library is the folder of the standard library, whose version
// is Go's.
func modulesOf(packages []listedPackage, library, version string) ([]module, error) {
	modules := make(map[string]*module)
	roots := make(map[string]string)            // root folder, by module path
	folders := make(map[string]map[string]bool) // folders of its packages, by module path
	owner := make(map[string]string)            // module path, by package
	for _, p := range packages {
		m, root := module{path: "std", version: version}, library
		if !p.Standard {
			if p.Module == nil || p.Module.Replace != nil {
				return nil, fmt.Errorf("%s is not of a module as it was released", p.ImportPath)
			}
			m = module{path: p.Module.Path, version: p.Module.Version, sum: p.Module.Sum, main: p.Module.Main}
			root = p.Module.Dir
		}
		owner[p.ImportPath] = m.path
		if modules[m.path] == nil {
			modules[m.path], roots[m.path], folders[m.path] = &m, root, map[string]bool{root: true}
		}
		if p.Standard {
			continue // a single licence covers all
		}
		for dir := p.Dir; len(dir) > len(root); dir = filepath.Dir(dir) {
			folders[m.path][dir] = true
		}
	}
	for _, p := range packages {
		from := modules[owner[p.ImportPath]]
		for _, imported := range p.Imports {
			if to, ok := owner[imported]; ok && to != from.path && !slices.Contains(from.imports, to) {
				from.imports = append(from.imports, to)
			}
		}
	}
	var all []module
	var errs []error
	for path, m := range modules {
		slices.Sort(m.imports)
		var err error
		m.texts, err = readLicences(roots[path], slices.Sorted(maps.Keys(folders[path])))
		if err == nil {
			m.licence, err = judge(m.texts, knownLicences)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.path, err))
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b module) int {
		if a.main != b.main {
			return map[bool]int{true: -1, false: 1}[a.main]
		}
		return strings.Compare(a.path, b.path)
	})
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all, errors.Join(errs...)
}

// build builds the program, and compares what is linked into it with the output of go list.
func (r release) build(platform, program string, modules []module) error {
	build := goCommand(r.root, platform, "build", "-trimpath", "-buildvcs=false",
		"-ldflags", fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", r.version, r.commit), "-o", program, command)
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	var said, built []string
	for _, m := range modules {
		if !m.main && m.path != "std" {
			said = append(said, m.path+" "+m.version+" "+m.sum)
		}
	}
	for _, m := range info.Deps {
		built = append(built, m.Path+" "+m.Version+" "+m.Sum)
	}
	slices.Sort(said)
	slices.Sort(built)
	if !slices.Equal(said, built) {
		return fmt.Errorf("the program has the modules\n%s\nand go list says\n%s", strings.Join(built, "\n"), strings.Join(said, "\n"))
	}
	return nil
}
