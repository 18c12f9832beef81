//go:build !race

// Excluded under the race detector: the packages of the commands are tested with it.

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestDeployMetrics: the alert rules and the dashboard ask only for metrics and labels that exist.
// It compares them with what a replica exports after it has connected, lost its connection and
// raised an alarm.
func TestDeployMetrics(t *testing.T) {
	t.Parallel()
	series := scrapeRun(t)
	used := make(map[string]bool)
	for _, r := range readAlerts(t) {
		carried := series.check(t, r.Alert, r.Expr, used)
		for _, text := range r.Annotations {
			for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
				if !slices.Contains(carried, m[1]) {
					t.Errorf("%s: an annotation names the label %s, and the alert has %v", r.Alert, m[1], carried)
				}
			}
		}
	}
	d := readDashboard(t)
	variables := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		query, of := v.Query.(map[string]any)
		if !of {
			continue
		}
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(fmt.Sprint(query["query"]))
		if m == nil {
			t.Errorf("variable %s asks for %v", v.Name, query)
		} else if carried := series.check(t, "variable "+v.Name, m[1], used); !slices.Contains(carried, m[2]) {
			t.Errorf("variable %s: %s has no label %s", v.Name, m[1], m[2])
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			carried := series.check(t, p.Title, target.Expr, used)
			for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(carried, m[1]) {
					t.Errorf("%s: the legend names the label %s, and there are %v", p.Title, m[1], carried)
				}
			}
			for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(variables, m[1]) {
					t.Errorf("%s: there is no variable %s", p.Title, m[1])
				}
			}
		}
	}
	for name := range series {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "zoomstream_") && !used[name] && !used[family+"_bucket"] {
			t.Errorf("%s is on no dashboard and in no rule", name)
		}
	}
}

// scraped has the values of each label of each metric.
type scraped map[string]map[string][]string

// scrapeRun runs a replica until it exports every metric, and returns them.
func scrapeRun(t *testing.T) scraped {
	t.Helper()
	url := startNATS(t).ClientURL()
	js := jetStream(t, url)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: "archive"}); err != nil {
		t.Fatal(err)
	}
	sim, settings := startZoom(t)
	p := start(t, append(settings, "NATS_URL="+url, "ZOOMSTREAM_HTTP_ADDR=127.0.0.1:0", "ZOOMSTREAM_ALARM_SILENT=1ms"), "run")
	await(t, sim)
	sim.Emit(testSubscription, zoomsim.Event{Name: "meeting.started"})
	bodies(t, url, 1)
	sim.Cut(testSubscription)
	page := regexp.MustCompile(`"url":"(http://[^"]+/)"`)
	p.says(&p.stderr, `"url":"http://`)
	address := page.FindStringSubmatch(p.stderr.String())[1]
	late := []string{ // those that appear once they have happened
		"zoomstream_last_event_timestamp_seconds{", "zoomstream_closes_total{", `zoomstream_alarm{alarm="silent"`, "zoomstream_alarms_raised_total{",
		`zoomstream_connects_total{outcome="ready"`, "zoomstream_lease_transitions_total{", "zoomstream_token_expiry_timestamp_seconds ", "zoomstream_lease_margin_seconds{",
		"zoomstream_consumer_oldest_unprocessed_seconds{",
	}
	var text string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		text = scrape(t, address+"metrics")
		missing := slices.DeleteFunc(slices.Clone(late), func(s string) bool { return strings.Contains(text, "\n"+s) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v are missing:\n%s", missing, &p.stderr)
		}
	}
	all := scraped{"up": {}}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, s := range readPromQL(t, "/metrics", line).selectors {
			if all[s.metric] == nil {
				all[s.metric] = make(map[string][]string)
			}
			for _, m := range s.matchers {
				all[s.metric][m.label] = append(all[s.metric][m.label], m.value)
			}
		}
	}
	for metric, labels := range map[string]map[string]string{ // values that the code may also use
		"zoomstream_alarm":                   {"alarm": "../../message/alarm.go"},
		"zoomstream_closes_total":            {"cause": "../../internal/zoom/errors.go"},
		"zoomstream_connects_total":          {"outcome": "../../internal/zoom/errors.go"},
		"zoomstream_lease_transitions_total": {"reason": "../../internal/lease/show.go"},
	} {
		for label, file := range labels {
			values := constants(t, file)
			if !slices.Contains(values, all[metric][label][0]) && all[metric][label][0] != "ready" {
				t.Fatalf("%s has no constant for %s=%q", file, label, all[metric][label][0])
			}
			all[metric][label] = append(all[metric][label], values...)
		}
	}
	for _, labels := range all { // labels that Prometheus adds
		labels["job"], labels["instance"] = nil, nil
	}
	return all
}

// scrape gets the metrics in OpenMetrics, as Prometheus does: some labels look different there.
func scrape(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), "# EOF\n") {
		t.Fatal(answer.Status, err)
	}
	return string(text)
}

// constants returns the values of a file's string constants.
func constants(t *testing.T, file string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if g, ok := d.(*ast.GenDecl); !ok || g.Tok != token.CONST {
			continue
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				value, _ := strconv.Unquote(literal.Value) // it is Go
				values = append(values, value)
			}
			return true
		})
	}
	if len(values) == 0 {
		t.Fatalf("%s has no constants; change this test", file)
	}
	return values
}

// check fails the test for each metric, label or value in an expression that does not exist. It
// returns the labels of the expression's result.
func (all scraped) check(t *testing.T, where, expr string, used map[string]bool) (carried []string) {
	t.Helper()
	q := readPromQL(t, where, expr)
	if len(q.selectors) == 0 {
		t.Errorf("%s: %s asks for no metric", where, expr)
	}
	for _, s := range q.selectors {
		used[s.metric] = true
		labels, known := all[s.metric]
		if !known {
			t.Errorf("%s: there is no metric %s", where, s.metric)
			continue
		}
		carried = slices.AppendSeq(carried, maps.Keys(labels))
		for _, m := range s.matchers {
			values, known := labels[m.label]
			if !known {
				t.Errorf("%s: %s has no label %s", where, s.metric, m.label)
			}
			if m.label == "job" || m.label == "instance" || strings.Contains(m.value, "$") {
				continue
			}
			for alternative := range strings.SplitSeq(m.value, "|") {
				if !slices.Contains(values, alternative) {
					t.Errorf("%s: the label %s of %s is never %q, but one of %v", where, m.label, s.metric, alternative, values)
				}
			}
		}
	}
	for _, label := range slices.Concat(q.kept, q.matched) {
		if !slices.Contains(carried, label) {
			t.Errorf("%s: no metric of %s has a label %s", where, expr, label)
		}
	}
	if q.aggregates {
		return q.kept
	}
	return carried
}

// promQL is what an expression refers to.
type promQL struct {
	selectors  []selector
	aggregates bool
	kept       []string // labels in by(…)
	matched    []string // labels in on(…)
}

type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

var (
	promToken   = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|[a-zA-Z_:][\w:]*|[0-9.][\w.+]*|=~|!~|!=|[<>=]=|\s+|.)`)
	promWord    = regexp.MustCompile(`^[a-zA-Z_:]`)
	promLabels  = map[string]bool{"by": true, "on": true}
	promGrammar = []string{"and", "or", "unless", "offset", "bool"}
)

// readPromQL parses as much of PromQL as this program's expressions use. promtool checks the
// grammar.
func readPromQL(t *testing.T, where, expr string) (q promQL) {
	t.Helper()
	var tokens []string
	for rest := expr; rest != ""; {
		next := promToken.FindString(rest)
		rest = rest[len(next):]
		if strings.TrimSpace(next) != "" {
			tokens = append(tokens, next)
		}
	}
	tokens = append(tokens, "", "", "", "") // room to look ahead
	for i := 0; tokens[i] != ""; i++ {
		word, next := tokens[i], tokens[i+1]
		switch {
		case word == "[": // a range
			for tokens[i] != "]" && tokens[i] != "" {
				i++
			}
		case !promWord.MatchString(word) || slices.Contains(promGrammar, word):
		case promLabels[word]:
			for i += 2; tokens[i] != ")" && tokens[i] != ""; i++ {
				if word == "by" && tokens[i] != "," {
					q.aggregates, q.kept = true, append(q.kept, tokens[i])
				} else if tokens[i] != "," {
					q.matched = append(q.matched, tokens[i])
				}
			}
		case next == "(" || promLabels[next]: // a function
			q.aggregates = q.aggregates || slices.Contains([]string{"sum", "min", "max", "count", "absent"}, word)
		default:
			s := selector{metric: word}
			if next == "{" {
				for i += 2; tokens[i] != "}" && tokens[i] != ""; i++ {
					if tokens[i] == "," {
						continue
					}
					value, err := strconv.Unquote(tokens[i+2])
					if err != nil {
						t.Fatalf("%s: %s: %q is no text", where, expr, tokens[i+2])
					}
					s.matchers = append(s.matchers, matcher{tokens[i], tokens[i+1], value})
					i += 2
				}
			}
			q.selectors = append(q.selectors, s)
		}
	}
	return q
}
