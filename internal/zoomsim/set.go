package zoomsim

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of the changes to a body.
const (
	maxSets      = 64
	maxPath      = 256 // bytes
	maxPathSteps = 16
)

// jsonAsZooms accepts JSON as Zoom sends it: with duplicate names, and with invalid UTF-8 in
// strings.
var jsonAsZooms = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// Set returns the body of an event with some members changed; its other bytes stay the same. Each
// change has the form PATH=VALUE, such as payload.object.id=5. The path consists of members' names
// and, for elements of arrays, numbers from 0; missing objects are created. The value is JSON, or
// any other text, which becomes a string.
func Set(body []byte, changes ...string) ([]byte, error) {
	if len(changes) > maxSets {
		return nil, fmt.Errorf("set: %d changes; at most %d", len(changes), maxSets)
	}
	for _, change := range changes {
		path, value, ok := strings.Cut(change, "=")
		steps := strings.Split(path, ".")
		if !ok || len(path) > maxPath || len(steps) > maxPathSteps || slices.Contains(steps, "") {
			return nil, fmt.Errorf("set: %.300q is not of the form payload.object.id=5, with at most %d names", change, maxPathSteps)
		}
		if !jsontext.Value(value).IsValid(jsonAsZooms...) {
			value = string(appendQuoted(nil, value))
		}
		var err error
		if body, err = put(body, steps, value); err != nil {
			return nil, fmt.Errorf("set: %s: %w", path, err)
		}
	}
	return body, nil
}

// put sets the value at a path within a JSON text.
func put(text []byte, path []string, value string) ([]byte, error) {
	if len(path) == 0 {
		return []byte(value), nil
	}
	name := path[0]
	if start, end, ok := member(text, name); ok {
		changed, err := put(text[start:end], path[1:], value)
		return slices.Concat(text[:start], changed, text[end:]), err
	}
	text = bytes.TrimSpace(text)
	switch jsontext.Value(text).Kind() {
	case '{':
	case '[':
		return nil, fmt.Errorf("the array has no element %q", name)
	default:
		return nil, fmt.Errorf("%q is a member of what is no object", name)
	}
	comma := ","
	if head := bytes.TrimSpace(text[:len(text)-1]); len(head) == 1 {
		comma = ""
	}
	for _, missing := range slices.Backward(path[1:]) {
		value = "{" + string(appendQuoted(nil, missing)) + ":" + value + "}"
	}
	added := comma + string(appendQuoted(nil, name)) + ":" + value + "}"
	return append(slices.Clone(text[:len(text)-1]), added...), nil
}

// member finds the value of a member of a JSON object, the last one if there are several of that
// name, or of an element of an array.
func member(text []byte, name string) (start, end int, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsonAsZooms...)
	open, err := dec.ReadToken()
	if err != nil || open.Kind() != '{' && open.Kind() != '[' {
		return 0, 0, false
	}
	for n := 0; dec.PeekKind() != '}' && dec.PeekKind() != ']'; n++ {
		at := strconv.Itoa(n)
		if open.Kind() == '{' {
			token, err := dec.ReadToken()
			if err != nil {
				break
			}
			at = token.String()
		}
		value, err := dec.ReadValue()
		if err != nil {
			break
		}
		if at == name {
			end = int(dec.InputOffset())
			start, ok = end-len(value), true
		}
	}
	return start, end, ok
}
