package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestLicences judges a few texts. Each release judges those of the program.
func TestLicences(t *testing.T) {
	t.Parallel()
	free := licenceText{"LICENSE", "Copyright (c) 2020 Somebody\n\nDo what you like.\n"}
	laterYear := licenceText{"LICENSE", "Copyright (c) 2026 Somebody\nDo what\nyou like."}
	strict := licenceText{"sub/COPYING", "Give away the source."}
	note := licenceText{"NOTICE", "Made by somebody."}
	known := free.digest() + " MIT\n" + strict.digest() + " GPL-3.0-only\n"
	for _, c := range []struct {
		texts []licenceText
		want  string // the expression, or the beginning of the error
	}{
		{[]licenceText{free, note}, "MIT"},
		{[]licenceText{laterYear}, "MIT"},
		{[]licenceText{free, strict}, "sub/COPYING: the licence GPL-3.0-only is not on the list"},
		{[]licenceText{{"LICENSE", free.text + "But not for money."}}, "nobody has read LICENSE yet"},
		{[]licenceText{note}, "there is no licence"},
		{nil, "there is no licence"},
	} {
		got, err := judge(c.texts, known)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: %q, want %q", c.texts, got, c.want)
		}
	}
}

// TestReplacedModules: a release has no replaced modules, since nobody else could build it.
func TestReplacedModules(t *testing.T) {
	t.Parallel()
	var p listedPackage
	if err := json.Unmarshal([]byte(`{"ImportPath": "a.b/c", "Module": {"Path": "a.b/c", "Replace": {"Path": "../c"}}}`), &p); err != nil {
		t.Fatal(err)
	}
	if _, err := modulesOf([]listedPackage{p}, "", ""); err == nil {
		t.Error("a replaced module is released")
	}
}
