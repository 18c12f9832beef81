package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/metrics"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

func TestGeneratedMetrics(t *testing.T) {
	compareGenerated(t, operatingPage, "metrics", metricsTable(t))
}

// metricsTable has a row for each of the program's own metrics.
func metricsTable(t *testing.T) string {
	t.Helper()
	now := time.Now()
	m := metrics.New("v1", "commit", []string{"sub"})
	s := m.Subscription("sub")
	s.Transition("taken")
	s.Connect("ready")
	s.Close("closed")
	m.Raised(message.AlarmLate)
	m.Show(func() *zstatus.Replica {
		return &zstatus.Replica{Token: zstatus.Token{Expires: now}, Subscriptions: []zstatus.Subscription{
			{Subscription: "sub", Role: zstatus.Leader, LastFrame: now, LastEvent: now},
		}, Consumers: &zstatus.Consumers{Durable: []zstatus.Consumer{{Name: "consumer"}}}}
	}, message.ReplicaAlarms())
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "zoomstream_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	return b.String()
}
