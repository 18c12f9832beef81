package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// fromFile reads the YAML file; no path gives no values. A nil layer means
// that the file as a whole is broken.
func fromFile(path string) (layer, []error) {
	l := layer{}
	if path == "" {
		return l, nil
	}
	nodes, err := readYAML(path)
	if err != nil {
		return nil, []error{&Error{
			Setting: "--config", Value: path,
			Problem: err.Error() + "; name a YAML file with one setting per line, for example lease_ttl: 15s",
		}}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(nodes)) {
		node := nodes[key]
		if node == nil { // no value
			continue
		}
		source := fmt.Sprintf("file %s:%d", path, node.GetToken().Position.Line)
		i := slices.IndexFunc(table, func(r row) bool { return r.key == key })
		text, ok := nodeText(node)
		switch {
		case i < 0:
			name, _, _ := strings.Cut(key, ":") // without a space after the colon the value follows
			errs = append(errs, &Error{Setting: name, Source: source, Problem: "no such setting; did you mean " + nearest(name).key + "?"})
		case !ok:
			errs = append(errs, &Error{Setting: table[i].setting, Source: source, Problem: "neither one text or number nor a list of them"})
		default:
			l.put(table[i].setting, text, source)
		}
	}
	return l, errs
}

// readYAML keeps the values as syntax nodes. Its errors leave out what the
// library's texts quote of the file: secrets may stand there.
func readYAML(path string) (map[string]ast.Node, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff")))) // some editors write a mark
	var nodes map[string]ast.Node
	err = decoder.Decode(&nodes)
	if err == nil && decoder.Decode(new(any)) != io.EOF {
		return nil, errors.New("the file holds more than one YAML document")
	}
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		return nil, fmt.Errorf("line %d is not valid YAML or repeats a key", e.GetToken().Position.Line)
	}
	if err != nil && err != io.EOF { // io.EOF: an empty file
		return nil, errors.New("the file is not valid YAML")
	}
	return nodes, nil
}

// nodeText is a value as it was written (an id 0012 is not 10), a list as its
// values joined by commas.
func nodeText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.SequenceNode:
		var texts []string
		for _, v := range n.Values {
			text, ok := nodeText(v)
			if !ok {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default: // mappings, anchors, tags
		return "", false
	}
}
