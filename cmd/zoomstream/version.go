package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// Set by the linker (see the Makefile); a plain go build leaves them empty.
var version, commit string

type versionCmd struct{}

func (versionCmd) Run(p *process) error {
	_, err := fmt.Fprintln(p.stdout, currentVersion())
	return err
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version and ends, whatever else is on the command line.
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
		if info.Main.Version != "(devel)" {
			b.Version = cmp.Or(b.Version, info.Main.Version)
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = cmp.Or(b.Commit, s.Value)
			}
		}
	}
	b.Version = cmp.Or(b.Version, "dev")
	b.Commit = cmp.Or(b.Commit, "unknown")
	return b
}
