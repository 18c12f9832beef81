package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

const (
	// maxFileErrors bounds the errors reported; a file with more belongs to another program.
	maxFileErrors = 20
	// maxName is longer than the name of any setting, in bytes.
	maxName = 64
)

// configVariable names the YAML file if --config does not.
const configVariable = "ZOOMSTREAM_CONFIG"

// yamlFile is the YAML file, and the setting that names it.
type yamlFile struct{ path, setting, source string }

// read reads the file; without a path there are no values. A nil layer means that the whole file is
// broken.
func (f yamlFile) read() (layer, []error) {
	l := layer{}
	if f.path == "" {
		return l, nil
	}
	nodes, err := readYAML(f.path)
	if err != nil {
		return nil, []error{&Error{
			Setting: f.setting, Value: f.path, Source: f.source,
			Problem: err.Error(),
		}}
	}
	var errs []error
	for i, key := range slices.Sorted(maps.Keys(nodes)) {
		if len(errs) == maxFileErrors {
			errs = append(errs, &Error{Setting: f.setting, Value: f.path, Source: f.source, Problem: fmt.Sprintf("and %d more settings were not checked; is this a file for zoomstream?", len(nodes)-i)})
			break
		}
		node := nodes[key]
		if node.Kind == yaml.ScalarNode && node.Tag == "!!null" { // no value
			continue
		}
		source := fmt.Sprintf("file %s:%d", f.path, node.Line)
		known := slices.IndexFunc(table, func(r row) bool { return r.key == key })
		text, ok := nodeText(node)
		name, _, _ := strings.Cut(key[:min(len(key), maxName)], ":") // if the space after the colon is missing, the key includes the value
		switch {
		case known < 0 && node.Kind == yaml.MappingNode:
			errs = append(errs, &Error{Setting: name, Source: source, Problem: "no such setting, and settings do not nest; write each at the left margin under its full name, for example zoom_client_id: …"})
		case known < 0:
			errs = append(errs, &Error{Setting: name, Source: source, Problem: "no such setting; did you mean " + nearestRow(name).key + "?"})
		case !ok:
			errs = append(errs, &Error{Setting: table[known].setting, Source: source, Problem: "not a text, a number or a list of them; write it on one line, and quote what YAML would read as something else"})
		default:
			l.put(table[known].setting, text, source)
		}
	}
	return l, errs
}

// readYAML reads the file and keeps the values as syntax nodes.
func readYAML(path string) (map[string]*yaml.Node, error) {
	text, err := secretfile.Read(path, secretfile.MaxText)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w%s; name a YAML file that exists and that this process may read", reason(err), startOf(path))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err == io.EOF {
		return nil, nil // empty file
	} else if err != nil {
		return nil, invalidYAML(err)
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, errors.New("the file holds more than one YAML document; remove the second --- and what follows it, or merge them")
	} else if err != io.EOF {
		return nil, invalidYAML(err)
	}
	return settingsOfYAML(document.Content[0])
}

// settingsOfYAML splits the top-level mapping into settings.
func settingsOfYAML(top *yaml.Node) (map[string]*yaml.Node, error) {
	nodes := make(map[string]*yaml.Node)
	switch {
	case top.Tag == "!!null" && top.Kind == yaml.ScalarNode:
		return nodes, nil
	case top.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("line %d is not a setting with its value; %s", top.Line, yamlShape)
	}
	lines := make(map[string]int)
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d has a key that is not text; %s", key.Line, yamlShape)
		}
		if before, twice := lines[key.Value]; twice {
			return nil, fmt.Errorf("line %d repeats the key%s of line %d; keep one of the two", key.Line, knownKey(key.Value), before)
		}
		nodes[key.Value], lines[key.Value] = value, key.Line
	}
	return nodes, nil
}

// yamlShape tells how the file should look.
const yamlShape = "write one setting per line with a space after the colon, for example lease_ttl: 15s"

// knownKey returns " " and the key, or "" if it is no setting, since it may then be a secret.
func knownKey(key string) string {
	if slices.ContainsFunc(table, func(r row) bool { return r.key == key }) {
		return " " + key
	}
	return ""
}

// invalidYAML formats the library's error, with advice. It drops the name that an error about an
// anchor quotes from the file, which may be a secret.
func invalidYAML(err error) error {
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	where := "the file is not valid YAML"
	if match := yamlLine.FindStringSubmatch(problem); match != nil { // the library's count may be one too low
		where, problem = "the file is not valid YAML near line "+match[1], problem[len(match[0]):]
	}
	if strings.Contains(problem, "anchor") {
		problem = "an anchor (*name) is unknown or contains itself"
	}
	for words, advice := range yamlAdvice {
		if strings.Contains(problem, words) {
			return fmt.Errorf("%s: %s; %s", where, problem, advice)
		}
	}
	return fmt.Errorf("%s: %s; %s", where, problem, yamlShape)
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// yamlAdvice maps a phrase to advice. Each phrase occurs in a single error text of the library.
var yamlAdvice = map[string]string{
	"a tab character":                    "indent with spaces",
	"cannot start any token":             "put a text that begins with a tab, @, ` or % in quotes, and indent with spaces",
	"an anchor":                          "put a text that begins with * in quotes",
	"mapping values are not allowed":     "put a text that contains a colon and a space in quotes, and indent all settings alike",
	"unexpected end of stream":           "close the quotes",
	"expected <document start>":          "indent all settings alike",
	"unknown escape character":           `use ' instead of " around a text with backslashes`,
	"control characters are not allowed": "save the file as plain text in UTF-8",
	"invalid leading UTF-8":              "save the file as plain text in UTF-8",
	"invalid trailing UTF-8":             "save the file as plain text in UTF-8",
	"directive name":                     "put a text that begins with % in quotes",
}

// nodeText returns a value as it was written (an id 0012 is not 10); a list as its values joined by
// commas. It rejects mappings and anchors.
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
