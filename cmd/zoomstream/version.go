package main

import (
	"cmp"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// Set by the linker (see the Makefile); empty after a plain go build or go install.
var version, commit string

type versionCmd struct{}

func (versionCmd) Run(p *process) error {
	_, err := fmt.Fprintln(p.stdout, currentVersion())
	return err
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version and exits, whatever else is on the command line.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, currentVersion())
	app.Exit(exitOK)
	return nil
}

type build struct{ Version, Commit, Go, Platform string }

func (b build) String() string {
	return fmt.Sprintf("zoomstream %s (commit %s, %s, %s)", b.Version, b.Commit, b.Go, b.Platform)
}

func currentVersion() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.fill(info)
	}
	b.Version = cmp.Or(b.Version, "dev")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}

// pseudoVersion matches the version of a commit without a release, and extracts the commit.
var pseudoVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+-.*\d{14}-([0-9a-f]{12})\b`)

// fill adds what the linker did not set from Go's build information: go install records the
// module's version, go build in a clone the commit.
func (b *build) fill(info *debug.BuildInfo) {
	if v := info.Main.Version; v != "(devel)" {
		b.Version = cmp.Or(b.Version, v)
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = cmp.Or(b.Commit, s.Value)
		}
	}
	if m := pseudoVersion.FindStringSubmatch(info.Main.Version); m != nil {
		b.Commit = cmp.Or(b.Commit, m[1])
	}
}
