package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figures are the results of a run.
type figures struct {
	Taken    time.Time      `json:"taken"`
	Machine  machine        `json:"machine"`
	Rounds   int            `json:"rounds"`
	Windows  map[string]int `json:"windows"` // of the bare publisher, by burst
	Notes    []string       `json:"notes,omitempty"`
	Measures []*figure      `json:"measures"`
}

// machine is what the figures depend on.
type machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Platform  string `json:"platform"`
	Go        string `json:"go"`
	Load      string `json:"load"` // average over the minute before; a run needs an idle machine
}

// figure is one measure, by contender.
type figure struct {
	Name   string               `json:"name"`
	Unit   string               `json:"unit"`
	Median map[string]float64   `json:"median"`
	Ratio  float64              `json:"ratio,omitempty"` // zoomstream to the bare publisher: the median of the rounds' ratios
	Rounds map[string][]float64 `json:"rounds"`
}

func newFigures(rounds int) *figures {
	load, _, _ := strings.Cut(readText("/proc/loadavg"), " ")
	_, model, _ := strings.Cut(readText("/proc/cpuinfo"), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	return &figures{
		Taken:   time.Now().UTC().Truncate(time.Second),
		Machine: machine{Processor: model, Cores: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Load: load},
		Rounds:  rounds,
		Windows: make(map[string]int),
	}
}

func readText(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// add adds a value of a round. It accepts names that are not in the table.
func (f *figures) add(name, contender string, value float64) {
	m := f.find(name)
	if m == nil {
		m = &figure{Name: name, Unit: unitOf(name), Rounds: make(map[string][]float64)}
		f.Measures = append(f.Measures, m)
	}
	m.Rounds[contender] = append(m.Rounds[contender], value)
	fmt.Fprintf(os.Stderr, "  %-28s %-12s %12s %s\n", name, contender, shorten(value), m.Unit)
}

func (f *figures) note(text string) {
	f.Notes = append(f.Notes, text)
	fmt.Fprintln(os.Stderr, " ", text)
}

func (f *figures) find(name string) *figure {
	i := slices.IndexFunc(f.Measures, func(m *figure) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return f.Measures[i]
}

// summarize computes the medians and ratios over the rounds.
func (f *figures) summarize() {
	for _, m := range f.Measures {
		m.Median = make(map[string]float64)
		for contender, values := range m.Rounds {
			m.Median[contender] = median(values)
		}
		ours, theirs := m.Rounds[connector], m.Rounds[bare]
		var ratios []float64
		for i := range min(len(ours), len(theirs)) {
			if theirs[i] > 0 {
				ratios = append(ratios, ours[i]/theirs[i])
			}
		}
		if len(ratios) > 0 {
			m.Ratio = median(ratios)
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// readFigures reads a file that write has written.
func readFigures(file string) (*figures, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := &figures{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return f, nil
}

func (f *figures) write(file string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
