package main

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// allowed are the licences under which the program may be distributed as it is, with their texts.
// Others need a decision.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}

// knownLicences lists the texts that somebody has read: the digest of each, and its licence as an
// SPDX expression.
//
//go:embed licences.txt
var knownLicences string

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense|notice|patents)([.-].*)?$`)

// licenceText is a file that must be distributed with the program.
type licenceText struct {
	name string // path in the module
	text string
}

// grants reports whether a text is a licence rather than a notice beside one.
func (l licenceText) grants() bool {
	name := strings.ToLower(filepath.Base(l.name))
	return !strings.HasPrefix(name, "notice") && !strings.HasPrefix(name, "patents")
}

var copyrightLine = regexp.MustCompile(`(?im)^\s*copyright (\(c\) )?\d{4}.*$`)

// digest is the same for texts that differ only in copyright lines and white space.
func (l licenceText) digest() string {
	words := strings.Fields(strings.ToLower(copyrightLine.ReplaceAllString(l.text, "")))
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(words, " "))))
}

// readLicences reads the licence files in a module's folders.
func readLicences(root string, folders []string) (texts []licenceText, err error) {
	for _, dir := range folders {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !licenceFile.MatchString(e.Name()) || !e.Type().IsRegular() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			texts = append(texts, licenceText{name: filepath.ToSlash(name), text: string(text)})
		}
	}
	return texts, nil
}

// judge returns the SPDX expression of a module's licences. It is an error if there is none, or if
// one is unread or not allowed.
func judge(texts []licenceText, known string) (expression string, err error) {
	var all []string
	var errs []error
	for _, t := range texts {
		if !t.grants() {
			continue
		}
		licence := licenceOf(t, known)
		if licence == "" {
			errs = append(errs, fmt.Errorf("nobody has read %s yet; when you have, add it to licences.txt: %s", t.name, t.digest()))
			continue
		}
		for name := range strings.SplitSeq(licence, " AND ") {
			if !slices.Contains(allowed, name) {
				errs = append(errs, fmt.Errorf("%s: the licence %s is not on the list of those allowed", t.name, name))
			}
			all = append(all, name)
		}
	}
	if all == nil && errs == nil {
		errs = append(errs, errors.New("there is no licence"))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " AND "), errors.Join(errs...)
}

// licenceOf returns the licence of a known text; empty for an unknown one.
func licenceOf(t licenceText, known string) string {
	digest := t.digest()
	for line := range strings.Lines(known) {
		if is, licence, _ := strings.Cut(strings.TrimSpace(line), " "); is == digest {
			return licence
		}
	}
	return ""
}

// notice returns the file NOTICE: the licences of everything by others.
func notice(modules []module) string {
	var b strings.Builder
	b.WriteString("zoomstream is under the Apache License 2.0, which is in the file LICENSE.\n" +
		"What follows is linked into it, each under its own licence.\n")
	for _, m := range modules {
		if m.main {
			continue
		}
		for _, t := range m.texts {
			fmt.Fprintf(&b, "\n%s\n%s %s, %s (%s)\n\n%s\n", strings.Repeat("=", 80), m.path, m.version, t.name, m.licence, strings.TrimSpace(t.text))
		}
	}
	return b.String()
}
