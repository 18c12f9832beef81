package main

import (
	"runtime/debug"
	"testing"
)

// TestVersionOfGo is about programs that were built by Go without the Makefile.
func TestVersionOfGo(t *testing.T) {
	t.Parallel()
	const commit = "95b602ec1a6b95b602ec1a6b95b602ec1a6b95b6"
	for _, c := range []struct {
		module, revision string
		is, want         build
	}{
		{module: "v1.2.3", want: build{Version: "v1.2.3"}},                                                                     // go install of a release
		{module: "v0.0.0-20261127162759-95b602ec1a6b", want: build{"v0.0.0-20261127162759-95b602ec1a6b", commit[:12], "", ""}}, // go install of a branch
		{module: "v1.2.4-0.20261127162759-95b602ec1a6b", want: build{"v1.2.4-0.20261127162759-95b602ec1a6b", commit[:12], "", ""}},
		{module: "(devel)", revision: commit, want: build{Commit: commit}}, // go build in a clone
		{module: "v1.2.3", revision: commit, want: build{"v1.2.3", commit, "", ""}},
		{module: "(devel)"},
		{module: "v1.2.3", is: build{"v2", "abc", "", ""}, want: build{"v2", "abc", "", ""}}, // the linker's flags take precedence
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.module}}
		if c.revision != "" {
			info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: c.revision}}
		}
		if c.is.fill(info); c.is != c.want {
			t.Errorf("%s at %q is %v, want %v", c.module, c.revision, c.is, c.want)
		}
	}
}
