package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLiterals keeps each name of the contract in one place. Other code uses the constant or the
// function that makes it, so that a search for it finds all uses.
func TestLiterals(t *testing.T) {
	rules := []struct {
		what    string
		literal *regexp.Regexp
		places  []string // folders
	}{
		{"the name of a header", regexp.MustCompile(`^(Zoom-[A-Za-z-]+|Nats-Msg-Id)$`), []string{"message"}},
		{"the name of a header of Zoom's", regexp.MustCompile(`^(x-zm-[a-z-]+|traceparent)$`), []string{"message", "internal/zoom"}}, // where Zoom's frames are decoded
		{"a subject of the bridge's", regexp.MustCompile(`_bridge\b`), []string{"subjects"}},
		{"the beginning of a key", regexp.MustCompile(`(^|\.)(lease|state|rhythm|stream)\.$`), []string{"internal/record"}},
		{"a bucket of states", regexp.MustCompile(`^-state(\.|$)`), []string{"internal/record", "internal/natsconn"}}, // where a user's rights are decided
		{"a subject of the replicas'", regexp.MustCompile(`(^|\.)(replica\.|presence)$`), []string{"internal/record"}},
	}
	found := make([]map[string]bool, len(rules))
	for n := range found {
		found[n] = make(map[string]bool)
	}
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "dist" || name == "testdata" || len(name) > 2 && name[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		folder = filepath.ToSlash(folder)
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for n, r := range rules {
				if !r.literal.MatchString(text) {
					continue
				}
				found[n][folder] = true
				if !slices.Contains(r.places, folder) {
					t.Errorf("%s: %q is %s, which only %s may spell out", files.Position(literal.Pos()), text, r.what, strings.Join(r.places, " and "))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, r := range rules {
		for _, place := range r.places {
			if !found[n][place] {
				t.Errorf("%s has no literal that is %s; change this test's rules", place, r.what)
			}
		}
	}
}
