package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The parts of CycloneDX 1.6 that the SBOM uses: https://cyclonedx.org/docs/1.6/json/.
type (
	bom struct {
		Format       string          `json:"bomFormat"`
		Spec         string          `json:"specVersion"`
		Version      int             `json:"version"`
		Metadata     bomMetadata     `json:"metadata"`
		Components   []bomComponent  `json:"components"`
		Dependencies []bomDependency `json:"dependencies"`
	}
	bomMetadata struct {
		Timestamp  time.Time     `json:"timestamp"`
		Component  bomComponent  `json:"component"`
		Properties []bomProperty `json:"properties"`
	}
	bomComponent struct {
		Type       string        `json:"type"`
		Ref        string        `json:"bom-ref"`
		Name       string        `json:"name"`
		Version    string        `json:"version"`
		Hashes     []bomHash     `json:"hashes,omitempty"`
		Licences   []bomLicence  `json:"licenses"`
		PURL       string        `json:"purl"`
		Properties []bomProperty `json:"properties,omitempty"`
	}
	bomHash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	bomLicence struct {
		Expression string `json:"expression"`
	}
	bomProperty struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	bomDependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn,omitempty"`
	}
)

// bom returns the SBOM of the program with the given digest. It has no serial number, which would
// differ each time.
func (r release) bom(platform string, program [32]byte, modules []module) ([]byte, error) {
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Timestamp = r.at
	b.Metadata.Properties = []bomProperty{{"zoomstream:platform", platform}, {"zoomstream:commit", r.commit}}
	refs := make(map[string]string)
	for i, m := range modules {
		if m.main {
			modules[i].version = r.version
		}
		refs[m.path] = purl(modules[i])
	}
	for _, m := range modules {
		c := bomComponent{
			Type: "library", Ref: refs[m.path], Name: m.path, Version: m.version, PURL: refs[m.path],
			Licences: []bomLicence{{m.licence}},
		}
		if m.sum != "" { // as in go.sum: the digest of a list of digests, not of a file
			c.Properties = []bomProperty{{"go:sum", m.sum}}
		}
		if m.main {
			c.Type, c.Hashes = "application", []bomHash{{"SHA-256", fmt.Sprintf("%x", program)}}
			b.Metadata.Component = c
		} else {
			b.Components = append(b.Components, c)
		}
		d := bomDependency{Ref: refs[m.path]}
		for _, on := range m.imports {
			d.On = append(d.On, refs[on])
		}
		b.Dependencies = append(b.Dependencies, d)
	}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}

func purl(m module) string {
	return "pkg:golang/" + m.path + "@" + strings.ReplaceAll(m.version, "+", "%2B")
}
