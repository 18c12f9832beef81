package inspect

import (
	"testing"
	"time"
)

// BenchmarkFind searches a stream of 200,000 events for something that is not there.
func BenchmarkFind(b *testing.B) {
	const events = 200_000
	w := newWorld(b)
	w.fill(events)
	s := w.open()
	for _, c := range []struct{ name, what string }{
		{"uuid", "NotThereNotThereNotThe=="},         // searches the bodies
		{"tracking", "v=2.0;clid=us02;rid=WEB_none"}, // searches the headers, then the bodies
		{"last", "v=2.0;clid=us02;rid=WEB_00000000000000000000000000030d3f"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				f, err := s.Find(b.Context(), Query{What: c.what, Since: time.Now().Add(-time.Hour), Limit: 50})
				if err != nil || f.Looked != events || f.Found() != (c.name == "last") {
					b.Fatal(f, err)
				}
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
