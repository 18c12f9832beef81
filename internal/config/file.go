package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

const (
	// maxFileErrors are told; a file with more is another program's.
	maxFileErrors = 20
	// maxName is more than the longest name of a setting, in bytes.
	maxName = 64
)

// configVariable names the YAML file where --config does not.
const configVariable = "ZOOMSTREAM_CONFIG"

// yamlFile is the YAML file and who named it.
type yamlFile struct{ path, setting, source string }

// read reads the file; no path gives no values. A nil layer means that the file as a whole
// is broken.
func (f yamlFile) read() (layer, []error) {
	l := layer{}
	if f.path == "" {
		return l, nil
	}
	nodes, err := readYAML(f.path)
	if err != nil {
		return nil, []error{&Error{
			Setting: f.setting, Value: f.path, Source: f.source,
			Problem: err.Error() + "; name a YAML file with one setting per line, for example lease_ttl: 15s",
		}}
	}
	var errs []error
	for i, key := range slices.Sorted(maps.Keys(nodes)) {
		if len(errs) == maxFileErrors {
			errs = append(errs, &Error{Setting: f.setting, Value: f.path, Source: f.source, Problem: fmt.Sprintf("and %d more settings were not looked at; is it a file of zoomstream?", len(nodes)-i)})
			break
		}
		node := nodes[key]
		if node.Kind == yaml.ScalarNode && node.Tag == "!!null" { // no value
			continue
		}
		source := fmt.Sprintf("file %s:%d", f.path, node.Line)
		known := slices.IndexFunc(table, func(r row) bool { return r.key == key })
		text, ok := nodeText(node)
		switch {
		case known < 0:
			name, _, _ := strings.Cut(key[:min(len(key), maxName)], ":") // without a space after the colon the value follows
			errs = append(errs, &Error{Setting: name, Source: source, Problem: "no such setting; did you mean " + nearestRow(name).key + "?"})
		case !ok:
			errs = append(errs, &Error{Setting: table[known].setting, Source: source, Problem: "neither one text or number nor a list of them"})
		default:
			l.put(table[known].setting, text, source)
		}
	}
	return l, errs
}

// readYAML keeps the values as syntax nodes. Its errors leave out what the
// library's texts quote of the file: secrets may stand there.
func readYAML(path string) (map[string]*yaml.Node, error) {
	text, err := secretfile.Read(path, secretfile.MaxText)
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err == io.EOF {
		return nil, nil // an empty file
	} else if err != nil {
		return nil, invalidYAML(err)
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, errors.New("the file holds more than one YAML document")
	} else if err != io.EOF {
		return nil, invalidYAML(err)
	}
	return settingsOfYAML(document.Content[0])
}

// settingsOfYAML takes the mapping at the top apart.
func settingsOfYAML(top *yaml.Node) (map[string]*yaml.Node, error) {
	nodes := make(map[string]*yaml.Node)
	switch {
	case top.Tag == "!!null" && top.Kind == yaml.ScalarNode:
		return nodes, nil
	case top.Kind != yaml.MappingNode:
		return nil, invalidLine(top.Line)
	}
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if _, twice := nodes[key.Value]; twice || key.Kind != yaml.ScalarNode {
			return nil, invalidLine(key.Line)
		}
		nodes[key.Value] = value
	}
	return nodes, nil
}

var yamlLine = regexp.MustCompile(`\bline (\d+)`)

func invalidYAML(err error) error {
	if match := yamlLine.FindStringSubmatch(err.Error()); match != nil {
		line, _ := strconv.Atoi(match[1]) // digits they are
		return invalidLine(line)
	}
	return errors.New("the file is not valid YAML")
}

func invalidLine(line int) error {
	return fmt.Errorf("line %d is not valid YAML or repeats a key", line)
}

// nodeText is a value as it was written (an id 0012 is not 10), a list as its
// values joined by commas. It reads neither mappings nor anchors.
func nodeText(n *yaml.Node) (string, bool) {
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return "", false
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, n.Tag != "!!null"
	case yaml.SequenceNode:
		var texts []string
		for _, v := range n.Content {
			text, ok := nodeText(v)
			if !ok || v.Kind != yaml.ScalarNode {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ","), true
	}
	return "", false
}
