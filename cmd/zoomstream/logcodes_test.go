package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLogCodes: every line that is logged has an event code, and docs/logs.md lists exactly these
// codes.
func TestLogCodes(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(root + "/docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[match[1]] = true
	}
	used, lines := make(map[string]bool), 0
	files := token.NewFileSet()
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && slices.Contains([]string{".git", "data", "dist", "zoomsim"}, entry.Name()) {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !calls(call, "Msg", "Msgf", "Send") || !logs(call) {
				return true
			}
			lines++
			code := codeOf(call)
			if code == "" {
				t.Errorf("%s: a line is logged without an event code", files.Position(call.Pos()))
			} else if used[code] = true; !documented[code] {
				t.Errorf("%s: docs/logs.md does not have the event code %s", files.Position(call.Pos()), code)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for code := range documented {
		if !used[code] {
			t.Errorf("docs/logs.md has the event code %s, which no line has", code)
		}
	}
	if lines < 50 {
		t.Errorf("only %d lines are logged: this test does not find them", lines)
	}
}

func calls(call *ast.CallExpr, names ...string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains(names, selector.Sel.Name)
}

// chain calls visit for the calls of a.b().c(), from the last to the first.
func chain(call *ast.CallExpr, visit func(*ast.CallExpr)) {
	for call != nil {
		visit(call)
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return
		}
		call, _ = selector.X.(*ast.CallExpr)
	}
}

// logs reports whether a chain of calls begins with a log level, or passes a log event on.
func logs(last *ast.CallExpr) (is bool) {
	chain(last, func(call *ast.CallExpr) {
		is = is || calls(call, "Trace", "Debug", "Info", "Warn", "Error", "event") && len(call.Args) != 1
	})
	return is
}

func codeOf(last *ast.CallExpr) (code string) {
	chain(last, func(call *ast.CallExpr) {
		if !calls(call, "Str") || len(call.Args) != 2 {
			return
		}
		key, ok1 := call.Args[0].(*ast.BasicLit)
		value, ok2 := call.Args[1].(*ast.BasicLit)
		if ok1 && ok2 && key.Value == `"code"` {
			code, _ = strconv.Unquote(value.Value)
		}
	})
	return code
}
