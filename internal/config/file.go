package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// fileLayer reads the YAML file; no path gives no values.
func fileLayer(path string) (layer, []error) {
	if path == "" {
		return nil, nil
	}
	text, err := readFile(path, maxBytes)
	if err != nil {
		return nil, []error{&Error{
			Setting: "--config", Value: path,
			Problem: "the file cannot be read: " + cause(err),
			Fix:     "name a YAML file of at most 64 KiB that this process may read",
		}}
	}
	return parseFile(path, text)
}

// parseFile works on the syntax tree rather than on decoded values: it keeps
// numbers as they were written (an id 0012 is not 10) and knows every line. A
// nil layer means that the file as a whole is broken.
func parseFile(path string, text []byte) (layer, []error) {
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []error{syntaxError(path, err)}
	}
	whole := func(problem string) (layer, []error) {
		return nil, []error{&Error{
			Setting: "--config", Value: path, Problem: problem,
			Fix: "write one setting per line, for example lease_ttl: 15s",
		}}
	}
	if len(tree.Docs) > 1 {
		return whole("the file holds more than one YAML document")
	}
	l := layer{}
	if len(tree.Docs) == 0 {
		return l, nil
	}
	switch body := tree.Docs[0].Body.(type) {
	case nil, *ast.CommentGroupNode, *ast.NullNode:
		return l, nil
	case *ast.MappingNode:
		return l, readPairs(l, path, body.Values)
	case *ast.MappingValueNode:
		return l, readPairs(l, path, []*ast.MappingValueNode{body})
	default:
		return whole("the file is not a list of settings with values")
	}
}

func readPairs(l layer, path string, pairs []*ast.MappingValueNode) (errs []error) {
	seen := map[string]int{}
	for _, pair := range pairs {
		key := pair.Key.GetToken().Value
		line := pair.Key.GetToken().Position.Line
		source := fmt.Sprintf("file %s:%d", path, line)
		fail := func(setting, problem, fix string) {
			errs = append(errs, &Error{Setting: setting, Source: source, Problem: problem, Fix: fix})
		}
		r, known := rowOfKey(key)
		if !known {
			fail(shownKey(key), "no such setting", "did you mean "+nearest(key, keys())+"?")
			continue
		}
		if first, again := seen[key]; again {
			fail(r.setting, fmt.Sprintf("%s is in line %d already", key, first), "keep one of the two")
			continue
		}
		seen[key] = line
		value, ok := nodeText(pair.Value, r.list)
		if !ok {
			fix := "give one text or number"
			if r.list {
				fix += ", or a list of them"
			}
			fail(r.setting, "the value of "+key+" has the wrong shape", fix)
			continue
		}
		l.put(r.setting, value, source)
	}
	return errs
}

// nodeText is the text of a scalar as it was written, or the comma separated
// texts of a list of scalars.
func nodeText(n ast.Node, list bool) (string, bool) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", true
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.SequenceNode:
		if !list {
			return "", false
		}
		var texts []string
		for _, v := range n.Values {
			text, ok := nodeText(v, false)
			if !ok {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), true
	default: // mappings, anchors, aliases, tags
		return "", false
	}
}

// syntaxError leaves out the excerpt of the file that the library's own text
// has, and any message that quotes the file: secrets may stand there.
func syntaxError(path string, err error) error {
	e := &Error{
		Setting: "--config", Value: path, Problem: "not valid YAML",
		Fix: "write one setting per line, for example lease_ttl: 15s",
	}
	if s, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		if !strings.Contains(s.Message, `"`) {
			e.Problem += ": " + s.Message
		}
		if s.Token != nil && s.Token.Position != nil {
			e.Value, e.Source = "", fmt.Sprintf("file %s:%d", path, s.Token.Position.Line)
		}
	}
	return e
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// shownKey hides what does not look like a key: in a line without a space
// after the colon (zoom_client_secret:abc) it holds the value.
func shownKey(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return "a key"
}

func rowOfKey(key string) (row, bool) {
	for _, r := range table {
		if r.key == key {
			return r, true
		}
	}
	return row{}, false
}

func keys() []string {
	names := make([]string, 0, len(table))
	for _, r := range table {
		names = append(names, r.key)
	}
	return names
}
