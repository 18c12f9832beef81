package app

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports keeps the dependencies between packages pointing one way.
func TestImports(t *testing.T) {
	const module = "github.com/zoomstream/zoomstream/"
	// What each package may import, directly or not, besides the standard library. A prefix ending
	// in / stands for everything below it.
	type rule struct {
		only  []string // if set, nothing else
		never []string
		but   []string // exceptions to never
	}
	nats := "github.com/nats-io/"
	contract := []string{module + "message", module + "subjects"}
	// Packages that look from outside rely on the contract and the records, not on the code that
	// makes them.
	engine := []string{
		module + "internal/app", module + "internal/bridge", module + "internal/zoom", module + "internal/lease", module + "internal/outbox", module + "internal/outbox/",
		module + "publisher", "github.com/coder/websocket",
	}
	rules := map[string]rule{
		"subjects":                  {only: []string{"-"}},
		"dedupe":                    {only: []string{"-"}},
		"message":                   {never: []string{module, "github.com/rs/zerolog", "github.com/coder/websocket", nats + "nats-server/"}, but: contract},
		"message/schema":            {only: []string{"-"}},
		"publisher":                 {never: []string{module, "github.com/rs/zerolog", "github.com/coder/websocket", nats + "nats-server/"}},
		"internal/zoom":             {never: []string{module, nats}},
		"internal/jsapi":            {never: []string{module, nats + "nats-server/"}},
		"internal/kv":               {never: []string{module, "github.com/coder/websocket"}, but: []string{module + "internal/jsapi"}},
		"internal/lease":            {never: []string{module + "internal/app", module + "internal/bridge", module + "internal/zoom", module + "internal/config", module + "internal/natsconn", module + "publisher", "github.com/coder/websocket"}},
		"internal/config":           {never: []string{module + "internal/", module + "publisher", nats, "github.com/coder/websocket"}},
		"internal/zoomsim":          {never: []string{module, nats}},
		"zoomtest":                  {never: []string{module, nats}, but: []string{module + "internal/zoomsim"}},
		"internal/natsconn":         {never: []string{module, "github.com/coder/websocket"}, but: []string{module + "internal/jsapi"}},
		"internal/outbox/spool":     {never: []string{module, "github.com/coder/websocket"}, but: contract},
		"internal/outbox":           {never: []string{module + "internal/app", module + "internal/bridge", module + "internal/lease", module + "internal/config", module + "internal/natsconn", module + "internal/zoom", "github.com/coder/websocket"}},
		"internal/bridge":           {never: []string{module + "internal/app", module + "internal/config", module + "internal/natsconn", module + "internal/lease"}},
		"internal/record":           {never: []string{module, "github.com/coder/websocket"}, but: contract},
		"internal/watch/alarm":      {never: engine},
		"internal/watch/consumers":  {never: engine},
		"internal/watch/metrics":    {never: engine},
		"internal/watch/status":     {never: engine},
		"internal/watch/page":       {never: engine},
		"internal/watch/httpserver": {never: engine},
		"internal/webhook":          {never: engine},
		"internal/tools/inspect":    {never: engine},
		"internal/tools/forward":    {never: engine},
		// doctor uses run's code for Zoom's protocol, and holds a lease by way of the records.
		"internal/tools/doctor": {never: engine, but: []string{module + "internal/zoom", "github.com/coder/websocket"}},
	}
	// What everybody may import: small packages on the standard library alone, which are about no
	// part of the program.
	leaves := []string{module + "internal/colour", module + "internal/eventnames", module + "internal/nearest", module + "internal/redact", module + "internal/secretfile", module + "internal/sleep"}
	for _, leaf := range leaves {
		rules[strings.TrimPrefix(leaf, module)] = rule{only: []string{"-"}}
	}
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Deps,Standard", "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	standard, deps := make(map[string]bool), make(map[string][]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Deps       []string
			Standard   bool
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		standard[p.ImportPath], deps[p.ImportPath] = p.Standard, p.Deps
	}
	for name, r := range rules {
		imported, ok := deps[module+name]
		if !ok {
			t.Errorf("package %s is gone; change this test's rules", name)
		}
		for _, dep := range imported {
			matches := func(pattern string) bool {
				return dep == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(dep, pattern)
			}
			if standard[dep] || slices.Contains(leaves, dep) || dep == module+name || strings.HasPrefix(dep, module+name+"/") {
				continue
			}
			if slices.ContainsFunc(r.never, matches) && !slices.Contains(r.but, dep) || r.only != nil && !slices.ContainsFunc(r.only, matches) {
				t.Errorf("%s must not depend on %s", name, dep)
			}
		}
	}
}
