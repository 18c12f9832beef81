// Package messagesource reads the source of package message, since documents and schemas are
// generated from its names and comments.
package messagesource

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zoomstream/zoomstream/message"
)

// Source holds the declarations of package message.
type Source []ast.Decl

// Parse parses the package in a folder.
func Parse(t *testing.T, dir string) (all Source) {
	t.Helper()
	for _, name := range []string{"headers.go", "gap.go", "alarm.go", "malformed.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Decls...)
	}
	return all
}

// Constant is a string constant.
type Constant struct {
	Name, Value string
	Doc         string // comment above it, without its name and "is"; empty: none
	Comment     string // comment behind it
}

// Constants returns the constants of the group that starts with first.
func (s Source) Constants(t *testing.T, first string) (group []Constant) {
	t.Helper()
	for _, d := range s {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST || decl.Specs[0].(*ast.ValueSpec).Names[0].Name != first {
			continue
		}
		for _, spec := range decl.Specs {
			spec := spec.(*ast.ValueSpec)
			c := Constant{Name: spec.Names[0].Name, Value: value(t, spec), Comment: oneLine(spec.Comment.Text())}
			if doc := oneLine(spec.Doc.Text()); doc != "" {
				if c.Doc, ok = strings.CutPrefix(doc, c.Name+" is "); !ok {
					t.Errorf("the comment of message.%s does not begin with its name", c.Name)
				}
			}
			group = append(group, c)
		}
		return group
	}
	t.Fatalf("no constants of package message begin with %s", first)
	return nil
}

func value(t *testing.T, spec *ast.ValueSpec) string {
	t.Helper()
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok { // the one defined by nats.go
		return message.HeaderID
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Member is a member of a JSON body.
type Member struct {
	Name     string
	Type     string // Go type, without its package
	Doc      string
	Optional bool
}

// Members returns the members of a struct.
func (s Source) Members(t *testing.T, name string) (all []Member) {
	t.Helper()
	for _, d := range s {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE || decl.Specs[0].(*ast.TypeSpec).Name.Name != name {
			continue
		}
		for _, field := range decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
			tag, _ := strconv.Unquote(field.Tag.Value)
			member, options, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(tag, `json:"`), `"`), ",")
			if member == "-" {
				continue
			}
			typed := field.Type
			if of, ok := typed.(*ast.SelectorExpr); ok {
				typed = of.Sel
			}
			m := Member{Name: member, Type: typed.(*ast.Ident).Name, Doc: oneLine(field.Doc.Text()), Optional: options != ""}
			if m.Doc == "" {
				t.Errorf("message.%s: nobody says what %s is", name, member)
			}
			all = append(all, m)
		}
		return all
	}
	t.Fatalf("package message has no %s", name)
	return nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
